/** A reader of a platform's events as they come. */
import assert from 'node:assert/strict';

interface StreamedEvent {
  id: string;
  data: { id: number; serial: string; kind: string };
}

interface EventReader {
  /** The next one, waited for up to 60 s. */
  next(): Promise<StreamedEvent>;
  end(): void;
}

/** Of product `p`. Returns when the stream has begun. */
export async function openStream(
  { url, token }: { url: string; token: string },
  headers: Record<string, string>,
): Promise<EventReader> {
  const ended = new AbortController();
  const reply = await fetch(`${url}/gwe/v2/products/p/events`, {
    headers: { 'X-Exosite-Token': token, Accept: 'text/event-stream', ...headers },
    signal: AbortSignal.any([ended.signal, AbortSignal.timeout(60_000)]),
  });
  assert.equal(reply.headers.get('content-type'), 'text/event-stream');
  const chunks = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const block = async (): Promise<string> => {
    for (let at = text.indexOf('\n\n'); ; at = text.indexOf('\n\n')) {
      if (at !== -1) {
        const found = text.slice(0, at);
        text = text.slice(at + 2);
        return found;
      }
      const chunk = await chunks?.read();
      assert.equal(chunk?.done, false, 'the stream has ended');
      text += chunk?.value ?? '';
    }
  };
  assert.match(await block(), /^id: \d+\nretry: \d+$/);
  return {
    async next() {
      for (;;) {
        const [, id, data] = /^id: (\d+)\nevent: .*\ndata: (.*)$/.exec(await block()) ?? [];
        if (id !== undefined && data !== undefined) return { id, data: JSON.parse(data) };
      }
    },
    end: () => ended.abort(),
  };
}

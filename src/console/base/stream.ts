/** The stream of events of a product: reports that something has happened, for as long as somebody looks. */
import { useEffect, useState } from 'preact/hooks';

/** The kinds of events, by the platform's names. */
const KINDS = ['update', 'taken', 'looping', 'rebooted', 'shared', 'unreadable', 'rollouts'];
/** Events within this time are reported once. */
const TOGETHER_MS = 300;
/** The pause after a refusal, after which the browser itself does not try again. */
const AGAIN_MS = 15_000;

/**
 * Whether the stream is open; `undefined` before the first answer. `happened` is called once for events that come
 * together.
 */
export function useStream(product: string, happened: () => void): boolean | undefined {
  const [isOpen, setOpen] = useState<boolean>();
  useEffect(() => {
    if (product === '') return;
    let [source, waiting, again]: [EventSource | undefined, number, number] = [undefined, 0, 0];
    const tell = (): void => {
      waiting ||= setTimeout(() => {
        waiting = 0;
        happened();
      }, TOGETHER_MS);
    };
    const close = (): void => {
      clearTimeout(again);
      source?.close();
      source = undefined;
    };
    // A page in the background holds no connection: a browser allows six to a host.
    const follow = (): void => {
      close();
      if (document.hidden) return;
      const opened = new EventSource(`gwe/v2/products/${encodeURIComponent(product)}/events?rollouts=true`);
      source = opened;
      opened.onopen = () => setOpen(true);
      opened.onerror = () => {
        setOpen(false);
        if (opened.readyState === EventSource.CLOSED) again = setTimeout(follow, AGAIN_MS);
      };
      for (const kind of KINDS) opened.addEventListener(kind, tell);
    };
    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      document.removeEventListener('visibilitychange', follow);
      clearTimeout(waiting);
      close();
    };
  }, [product]);
  return isOpen;
}

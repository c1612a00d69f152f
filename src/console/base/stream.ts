/** The stream of events of a product: tells that something has happened, for as long as somebody looks. */
import { useEffect, useState } from 'preact/hooks';

/** As the platform names them. */
const KINDS = ['update', 'taken', 'looping', 'rebooted', 'shared', 'unreadable', 'rollouts'];
/** What comes together is one. */
const TOGETHER_MS = 300;
/** After a refusal, which the browser takes for final. */
const AGAIN_MS = 15_000;

/** Whether the stream is open; `undefined` before the first answer. `happened` is called after what comes together. */
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
    // A page that nobody looks at holds no connection: a browser has six of them to a host.
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

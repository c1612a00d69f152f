// @types/node 20.11 was written before TypeScript's iterators became disposable; without this, its Buffer is no Uint8Array.
interface IterableIterator<T> extends Disposable {}

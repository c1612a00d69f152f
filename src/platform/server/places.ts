/** The connections of a listener: how many there may be, and which one is ended when there is no room for another. */
import type { Socket } from 'node:net';

export interface Places {
  /**
   * Gives the connection a place until it is closed. If its holder, or all holders together, have as many as allowed,
   * the oldest connection that serves no known sender is ended to make room; if there is none, the new one is ended.
   * A proxy's connection (no `holder`) stands for many clients, and is not counted for one of them.
   */
  take(connection: Socket, holder: string | undefined): boolean;
  /**
   * A request of a known sender is being answered on this connection: it is not ended to make room until the returned
   * function is called.
   */
  hold(connection: Pick<Socket, 'remoteAddress' | 'remotePort'>): () => void;
  taken(): number;
}

interface Limits {
  total: number;
  /** The limit for one holder. */
  each: number;
  /** Called when a connection was ended because of this limit. */
  full(limit: 'address' | 'platform'): void;
}

interface Holder {
  name: string;
  count: number;
  /** The connections that may be ended, in the order in which they became idle. */
  spare: Set<Place>;
}

interface Place {
  connection: Socket;
  holder: Holder | undefined;
  /** How many requests are being answered on it. */
  held: number;
}

export function createPlaces({ total, each, full }: Limits): Places {
  const places = new Map<string, Place>();
  const holders = new Map<string, Holder>();
  const spare = new Set<Place>();
  let taken = 0;
  const offer = (place: Place): void => {
    if (place.holder === undefined) return;
    spare.add(place);
    place.holder.spare.add(place);
  };
  const withdraw = (place: Place): void => {
    spare.delete(place);
    place.holder?.spare.delete(place);
  };
  const holderOf = (name: string): Holder => {
    const found = holders.get(name) ?? { name, count: 0, spare: new Set() };
    holders.set(name, found);
    return found;
  };
  const leave = (end: string, place: Place): void => {
    if (places.get(end) !== place) return;
    places.delete(end);
    withdraw(place);
    taken--;
    if (place.holder !== undefined && --place.holder.count === 0) holders.delete(place.holder.name);
  };
  const endOldest = (candidates: ReadonlySet<Place>): boolean => {
    const [oldest] = candidates;
    if (oldest === undefined) return false;
    leave(endOf(oldest.connection), oldest);
    oldest.connection.destroy();
    return true;
  };
  const makeRoom = (holder: Holder | undefined): boolean => {
    if (holder !== undefined && holder.count >= each) {
      full('address');
      return endOldest(holder.spare);
    }
    if (taken < total) return true;
    full('platform');
    return endOldest(spare);
  };
  return {
    taken: () => taken,
    take(connection, name) {
      if (!makeRoom(name === undefined ? undefined : holders.get(name))) {
        connection.destroy();
        return false;
      }
      const holder = name === undefined ? undefined : holderOf(name);
      const [end, place] = [endOf(connection), { connection, holder, held: 0 }];
      places.set(end, place);
      taken++;
      if (holder !== undefined) holder.count++;
      offer(place);
      connection.once('close', () => leave(end, place));
      return true;
    },
    hold(connection) {
      const end = endOf(connection);
      const place = places.get(end);
      if (place === undefined) return () => undefined;
      place.held++;
      withdraw(place);
      return () => {
        place.held--;
        if (place.held === 0 && places.get(end) === place) offer(place);
      };
    },
  };
}

/** The other end of a connection: TLS wraps a socket, and both have the same one. */
function endOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`;
}

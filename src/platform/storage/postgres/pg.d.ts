/** The parts of the package `pg` that are used here: it has no types of its own. */
declare module 'pg' {
  import type { EventEmitter } from 'node:events';

  export interface QueryResult {
    rows: Record<string, unknown>[];
    rowCount: number | null;
  }

  export interface ConnectionConfig {
    connectionString?: string;
    password?: string | undefined;
    application_name?: string;
    connectionTimeoutMillis?: number;
    keepAlive?: boolean;
  }

  /** Emits 'error' when the connection is lost, and 'notification' with `{payload?: string}`. */
  export class Client extends EventEmitter {
    constructor(config: ConnectionConfig);
    connect(): Promise<void>;
    query(query: { name?: string; text: string; values?: readonly unknown[] }): Promise<QueryResult>;
    end(): Promise<void>;
  }

  /** A connection taken from the pool; `release(error)` ends it instead of returning it. */
  interface PoolClient extends Client {
    release(error?: Error | boolean): void;
  }

  export class Pool extends EventEmitter {
    constructor(config: ConnectionConfig & { max?: number });
    connect(): Promise<PoolClient>;
    query(query: { name?: string; text: string; values?: readonly unknown[] }): Promise<QueryResult>;
    end(): Promise<void>;
  }

  const pg: { Pool: typeof Pool; Client: typeof Client };
  export default pg;
}

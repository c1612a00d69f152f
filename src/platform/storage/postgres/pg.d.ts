/** What of the package `pg` is used here: it brings no types of its own. */
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

  /** Emits 'error' where the connection is lost, and 'notification' with `{payload?: string}`. */
  export class Client extends EventEmitter {
    constructor(config: ConnectionConfig);
    connect(): Promise<void>;
    query(query: { name?: string; text: string; values?: readonly unknown[] }): Promise<QueryResult>;
    end(): Promise<void>;
  }

  /** A connection that is handed out; `release(error)` ends it instead of keeping it. */
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

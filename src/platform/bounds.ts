/**
 * All bounds of the platform's input, in one place. Sizes in bytes, times in milliseconds unless the name says
 * otherwise.
 */

/** The largest value of an alias. */
export const MAX_VALUE_BYTES = 1024 * 1024;
/** The largest form: one value of the greatest size with every byte percent-encoded, and room for others. */
export const MAX_FORM_BYTES = 4 * 1024 * 1024;
export const MAX_ALIAS_BYTES = 255;
export const MAX_ALIASES_PER_REQUEST = 1000;
export const MAX_ALIASES_PER_DEVICE = 1000;
export const MAX_HISTORY_ENTRIES = 1000;
/** The history of one alias; its newest entry is kept, whatever its size. */
export const MAX_HISTORY_BYTES = 8 * 1024 * 1024;
/** The longest product id, serial number or vendor. */
export const MAX_NAME_BYTES = 255;
export const MAX_CONTENT_META_BYTES = 4096;
export const MAX_CONTENT_TYPE_BYTES = 255;
export const MAX_CONTENT_BYTES = 16 * 1024 ** 3;
/** Kept free on the disk, whatever is uploaded, so that the database can go on writing. */
export const RESERVED_DISK_BYTES = 32 * 1024 * 1024;

export const MAX_LONG_POLL_MS = 300_000;
export const MAX_LONG_POLLS_PER_DEVICE = 8;
/** How long an enabled serial number may wait for its activation. */
export const ACTIVATION_WINDOW_SECONDS = 24 * 3600;

/** All values of one device together, which is also the most that one answer holds in memory. */
export const MAX_VALUES_BYTES_PER_DEVICE = 4 * 1024 * 1024;
/** Shared by all aliases of a device, so that many long histories are each cut shorter. */
export const MAX_HISTORY_BYTES_PER_DEVICE = 64 * 1024 * 1024;
/** Open at once, long polls included: a device that does not read its answers must not fill the memory. */
export const MAX_REQUESTS_PER_DEVICE = 16;
/** For one connection more, the oldest one is closed on which no request of a known sender is being answered. */
export const MAX_CONNECTIONS = 12_000;
/** Many gateways may stand behind one address, but no address can hold all the connections. */
export const MAX_CONNECTIONS_PER_ADDRESS = 2000;
/** Fewer than the connections, of which the rest is for requests that are answered at once. */
export const MAX_LONG_POLLS = 10_000;
export const MAX_LONG_POLLS_PER_ADDRESS = 1500;
/** On a listener for operators alone (`--admin-listen`). */
export const MAX_ADMIN_CONNECTIONS = 500;
/** How often a full platform logs that it is full. */
export const FULL_LOG_EVERY_MS = 60_000;

/** All big forms that are in memory at once. */
export const MAX_BODIES_BYTES = 64 * 1024 * 1024;
/** For one device, or for one address whose sender has not identified itself. */
export const MAX_BODIES_BYTES_PER_SENDER = 8 * 1024 * 1024;
/** For all senders together that have shown no key yet: they must not take the room of the others. */
export const MAX_STRANGERS_BODIES_BYTES = 16 * 1024 * 1024;
/** A form up to this size is not big. */
export const FREE_BODY_BYTES = 64 * 1024;

/** All long answers together that their clients have not read yet. */
export const MAX_ANSWERS_BYTES = 64 * 1024 * 1024;
/** For one device; a single answer may have any size. */
export const MAX_ANSWERS_BYTES_PER_SENDER = 8 * 1024 * 1024;
/** An answer up to this size is not long. */
export const FREE_ANSWER_BYTES = 64 * 1024;
/** The answers to all calls of one RPC request; after this much, the remaining calls are not carried out. */
export const MAX_RPC_ANSWER_BYTES = 8 * 1024 * 1024;

/** How many wrong tokens one address may send before it has to wait. */
export const MAX_TOKEN_FAILURES = 10;
/** How many activations of one serial number may be refused to one address before that pair has to wait. */
export const MAX_ACTIVATION_FAILURES = 10;
/**
 * The same for all serial numbers together: many gateways may share one address, and a stranger may be among them.
 */
export const MAX_ACTIVATION_FAILURES_PER_ADDRESS = 600;
/** TLS tickets are valid for as long as TLS 1.3 allows, since gateways come only every few hours. */
export const TLS_SESSION_SECONDS = 7 * 24 * 3600;
/** Age at which the key of the tickets is replaced; a ticket under the old key costs a full handshake. */
export const TICKET_KEY_SECONDS = 7 * 24 * 3600;
/** How often a process checks whether another one has replaced the key. */
export const TICKET_KEY_EVERY_MS = 3600_000;
export const FAILURE_WINDOW_MS = 60_000;

/** How long requests under way may go on when the platform ends, by default. */
export const DRAIN_MS = 1000;

/** A device that asks every second is noted as seen once in this time. */
export const SEEN_EVERY_S = 60;
/** How often the times at which devices were seen are written, all together. */
export const SEEN_FLUSH_MS = 1000;
/** How long after a write the history is cut to its bounds. */
export const HISTORY_TRIM_MS = 1000;
export const HISTORY_AGE_EVERY_MS = 6 * 3600_000;
/** How often objects are looked for that no content refers to, */
export const OBJECTS_EVERY_MS = 600_000;
/** and how often those that the database does not know. */
export const UNKNOWN_OBJECTS_EVERY_MS = 24 * 3600_000;
export const MAX_ACTIVATION_LOG_ENTRIES = 100;

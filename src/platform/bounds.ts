/** Every bound of the platform's input, once. Sizes in bytes, times in milliseconds unless the name says otherwise. */

/** The largest value of an alias. */
export const MAX_VALUE_BYTES = 1024 * 1024;
/** The largest form: one value of the greatest size with every byte percent-encoded, and room for others. */
export const MAX_FORM_BYTES = 4 * 1024 * 1024;
export const MAX_ALIAS_BYTES = 255;
export const MAX_ALIASES_PER_REQUEST = 1000;
export const MAX_ALIASES_PER_DEVICE = 1000;
export const MAX_HISTORY_ENTRIES = 1000;
/** The history of one alias; its newest entry is kept, however big. */
export const MAX_HISTORY_BYTES = 8 * 1024 * 1024;
/** The longest product id, serial number or vendor. */
export const MAX_NAME_BYTES = 255;
export const MAX_CONTENT_META_BYTES = 4096;
export const MAX_CONTENT_TYPE_BYTES = 255;
export const MAX_CONTENT_BYTES = 16 * 1024 ** 3;
/** Left free on the disk whatever is uploaded, so that the database can go on writing. */
export const RESERVED_DISK_BYTES = 32 * 1024 * 1024;

export const MAX_LONG_POLL_MS = 300_000;
export const MAX_LONG_POLLS_PER_DEVICE = 8;
/** How long an enabled serial number may wait for its activation. */
export const ACTIVATION_WINDOW_SECONDS = 24 * 3600;

/** All values of one device together, and so the most that one answer holds in memory. */
export const MAX_VALUES_BYTES_PER_DEVICE = 4 * 1024 * 1024;
/** Shared by the aliases that a device has, so that many big ones keep less history each. */
export const MAX_HISTORY_BYTES_PER_DEVICE = 64 * 1024 * 1024;
/** At once, long polls included: a device that reads no answers must not fill the memory. */
export const MAX_REQUESTS_PER_DEVICE = 16;
/** Beyond it the oldest on which no request of somebody known is answered is closed. */
export const MAX_CONNECTIONS = 12_000;
/** Many gateways may stand behind one address; nobody alone holds all that there are. */
export const MAX_CONNECTIONS_PER_ADDRESS = 2000;
/** The rest of the connections is for who asks and goes. */
export const MAX_LONG_POLLS = 10_000;
export const MAX_LONG_POLLS_PER_ADDRESS = 1500;
/** On a listener of the operators' own (`--admin-listen`). */
export const MAX_ADMIN_CONNECTIONS = 500;
/** How often a full platform logs that it is full. */
export const FULL_LOG_EVERY_MS = 60_000;

/** All big forms in memory at once. */
export const MAX_BODIES_BYTES = 64 * 1024 * 1024;
/** For one device, or one address that has not said which device it is. */
export const MAX_BODIES_BYTES_PER_SENDER = 8 * 1024 * 1024;
/** Of senders who have shown no key yet, all together: they must not take the room of the others. */
export const MAX_STRANGERS_BODIES_BYTES = 16 * 1024 * 1024;
/** A form up to this size is not big. */
export const FREE_BODY_BYTES = 64 * 1024;

/** Of long answers that are not read yet. */
export const MAX_ANSWERS_BYTES = 64 * 1024 * 1024;
/** Of one device; one answer of any size it may have. */
export const MAX_ANSWERS_BYTES_PER_SENDER = 8 * 1024 * 1024;
/** An answer up to this size is not long. */
export const FREE_ANSWER_BYTES = 64 * 1024;
/** Of the answers to the calls of one RPC request; those behind it are not carried out. */
export const MAX_RPC_ANSWER_BYTES = 8 * 1024 * 1024;

/** Wrong tokens from one address before it has to wait. */
export const MAX_TOKEN_FAILURES = 10;
/** Activations of one serial number refused to one address before both together have to wait. */
export const MAX_ACTIVATION_FAILURES = 10;
/** For all serial numbers together: many gateways may share one address, and a stranger may be among them. */
export const MAX_ACTIVATION_FAILURES_PER_ADDRESS = 600;
/** Tickets of TLS live for as long as TLS 1.3 lets them: gateways come every few hours. */
export const TLS_SESSION_SECONDS = 7 * 24 * 3600;
/** The key of tickets is changed after so long; tickets under the old one cost a whole handshake. */
export const TICKET_KEY_SECONDS = 7 * 24 * 3600;
/** A process looks so often whether another one has changed it. */
export const TICKET_KEY_EVERY_MS = 3600_000;
export const FAILURE_WINDOW_MS = 60_000;

/** What is under way may go on for so long when the platform ends, unless it is told otherwise. */
export const DRAIN_MS = 1000;

/** A device that asks every second is noted as seen once in so long. */
export const SEEN_EVERY_S = 60;
/** What was seen is written so often, all of it together. */
export const SEEN_FLUSH_MS = 1000;
/** History that grew is cut to its bounds so long after. */
export const HISTORY_TRIM_MS = 1000;
export const HISTORY_AGE_EVERY_MS = 6 * 3600_000;
/** Objects that no content refers to are looked for so often, */
export const OBJECTS_EVERY_MS = 600_000;
/** and so often those that the database does not know. */
export const UNKNOWN_OBJECTS_EVERY_MS = 24 * 3600_000;
export const MAX_ACTIVATION_LOG_ENTRIES = 100;

/** Every bound of the platform's input, once. Sizes in bytes, times in milliseconds unless the name says otherwise. */

/** Of one value of an alias. */
export const MAX_VALUE_BYTES = 1024 * 1024;
/** Of a form body: one value of the greatest size with every byte percent-encoded, and room for others. */
export const MAX_FORM_BYTES = 4 * 1024 * 1024;
export const MAX_ALIAS_BYTES = 255;
export const MAX_ALIASES_PER_REQUEST = 1000;
export const MAX_ALIASES_PER_DEVICE = 1000;
export const MAX_HISTORY_ENTRIES = 1000;
/** Of all history of one alias: the newest entry is kept, however big. */
export const MAX_HISTORY_BYTES = 8 * 1024 * 1024;
/** Of a product id, a serial number, a vendor. */
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

/** Of all values of one device together. It is also the most that one answer holds in memory. */
export const MAX_VALUES_BYTES_PER_DEVICE = 4 * 1024 * 1024;
/** Shared by the aliases that a device has, so that many big ones keep less history each. */
export const MAX_HISTORY_BYTES_PER_DEVICE = 64 * 1024 * 1024;
/** At once, long polls included: a device that reads no answers must not fill the memory. */
export const MAX_REQUESTS_PER_DEVICE = 16;
/** Beyond it the newest is hung up on. */
export const MAX_CONNECTIONS = 4000;

/** Wrong tokens from one address before it has to wait. */
export const MAX_TOKEN_FAILURES = 10;
/** Activations refused to one address before it has to wait; many gateways may stand behind one. */
export const MAX_ACTIVATION_FAILURES = 30;
export const FAILURE_WINDOW_MS = 60_000;

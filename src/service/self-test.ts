/** What `gwe --self-test` prints, alone. */
export const SELF_TEST_ANSWER = 'ok';

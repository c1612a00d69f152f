/** Every sentence about what is wrong in a form, in English. */

export const formWords = {
  problem: (label: string, found: string, expected: string) =>
    `${label}: found ${found}, expected ${expected}`,
  nothing: 'nothing',
  noNumber: 'no number',
  something: 'something',
  characters: (count: number) => `${count.toLocaleString('en')} ${count === 1 ? 'character' : 'characters'}`,
  number: (least: string, most: string) => `a whole number from ${least} to ${most}`,
  atLeast: (count: number) => `at least ${count} characters`,
  person: 'up to 64 letters, digits, _ . @ + -',
  token: 'up to 64 letters, digits, _ . @ -',
  tag: 'up to 64 letters, digits, _ . -',
  target: 'https://HOST/... or mailto:NAME@HOST',
  code: 'the six digits that the authenticator app shows',
};

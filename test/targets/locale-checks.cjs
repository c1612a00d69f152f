/** Asks the runtime that it is started by for everything that its locale data answers; one JSON object on stdout. */
const { domainToASCII, domainToUnicode } = require('node:url');

const time = new Date(Date.UTC(2026, 6, 1, 12, 30, 15));
const decode = (encoding, hex) => new TextDecoder(encoding).decode(Buffer.from(hex, 'hex'));
const segments = (locale, granularity, text) =>
  [...new Intl.Segmenter(locale, { granularity }).segment(text)].length;

const CHECKS = {
  'a date in English': () =>
    new Intl.DateTimeFormat('en', { dateStyle: 'full', timeStyle: 'medium', timeZone: 'UTC' }).format(time),
  'a time zone and its summer time': () => time.toLocaleString('en-US', { timeZone: 'Europe/Berlin' }),
  'UTF-8': () => decode('utf-8', 'c3a4e282ac'),
  'UTF-16': () => decode('utf-16le', 'e400ac20'),
  latin1: () => decode('latin1', 'e4f6fc'),
  'latin1 of a buffer': () => Buffer.from('e4f6fc', 'hex').toString('latin1'),
  'malformed UTF-8': () => {
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from('ff', 'hex'));
    } catch (error) {
      return error.code;
    }
  },
  'normal forms': () => ['NFC', 'NFD', 'NFKC', 'NFKD'].map((form) => 'Å ﬁ ё'.normalize(form)),
  'international host names': () => [
    new URL('http://bücher.example/').host,
    domainToUnicode('xn--bcher-kva.example'),
    domainToASCII('straße.example'),
  ],
  'an order of words': () => ['z', 'a', 'ä', 'B'].sort((one, other) => one.localeCompare(other)),
  'an order of words by another language': () => ['z', 'a', 'ä', 'B'].sort(new Intl.Collator('de').compare),
  'an order with numbers': () => new Intl.Collator('en', { numeric: true }).compare('a10', 'a9') > 0,
  'a locale that nobody knows': () => new Intl.NumberFormat('xx-YY').format(1234.5),
  'a locale of another country': () => (1234.5).toLocaleString('en-CA'),
  'parts of a text': () =>
    ['grapheme', 'word', 'sentence'].map((kind) => segments('en', kind, 'One two. 👩‍👩‍👧 x')),
  'parts of a text without spaces, without a crash': () =>
    ['th', 'zh', 'ja'].every((locale) => segments(locale, 'word', 'สวัสดี 你好 こんにちは') > 0),
  'upper case': () => ['i'.toLocaleUpperCase('tr'), 'ß'.toUpperCase()],
  'classes of characters': () => [/^\p{L}+$/u.test('äß'), /\p{Script=Greek}/u.test('α'), /ſ/iu.test('S')],
  'the plural of a number': () => new Intl.PluralRules('en').select(1),
  'a time that is relative': () => new Intl.RelativeTimeFormat('en').format(-3, 'day'),
  'a list': () => new Intl.ListFormat('en').format(['a', 'b', 'c']),
  'the name of a country': () => new Intl.DisplayNames('en', { type: 'region' }).of('DE'),
  'canonical locales': () => Intl.getCanonicalLocales(['en-ca', 'de-de', 'zh-hant']),
};

const answers = {};
for (const [name, check] of Object.entries(CHECKS)) {
  try {
    answers[name] = check();
  } catch (error) {
    answers[name] = `throws ${error.message}`;
  }
}
console.log(JSON.stringify(answers));

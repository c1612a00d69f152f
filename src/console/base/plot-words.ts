/** Every sentence about plots, in English. */

export const plotWords = {
  gateway: 'Disk, memory, clock, data over time',
  disk: 'Free where apps are unpacked',
  memory: 'Free memory',
  clock: 'Clock ahead of the platform, in seconds',
  budget: 'Left of its data budget',
  fleet: 'Over time',
  versionsOf: (app: string) => `Gateways by version of ${app}`,
  monthBytes: 'Bytes since the beginning of the month',
  moved: 'sent and received',
  saved: 'saved by patches and chunks',
  tooFew: (count: number) =>
    count === 0
      ? 'Nothing has been reported yet.'
      : 'Reported once so far: a line needs a second time, which comes by itself.',
  tooFewDays: 'The versions are counted once a day: lines begin on the second day.',
  /** What a line shows, for who does not see it. */
  summary: (name: string, of: Readonly<Record<'first' | 'last' | 'least' | 'most', string>>) =>
    `${name}: ${of.first} at first, ${of.last} at last; lowest ${of.least}, highest ${of.most}`,
  table: 'As a table',
  when: 'When',
  shownLast: (count: number, of: number) => `The newest ${count} of ${of}`,
  notDrawn: 'The plot could not be loaded; the table has the same figures.',
};

/** The part of Engine.config about the reports. */
import type { SettingSpec } from './setting.ts';

export const REPORT_SETTINGS = {
  reportAlways: {
    key: 'report_always',
    type: 'boolean',
    default: false,
    help: 'send every report at each check-in, as the original did, instead of only those that have changed',
  },
  maxReportBytes: {
    key: 'max_report_bytes',
    type: 'whole',
    default: 60 * 1024,
    min: 4096,
    max: 60 * 1024,
    help: 'largest report: output beyond it is left out',
  },
  maxOutputBytes: {
    key: 'max_output_bytes',
    type: 'whole',
    default: 16 * 1024,
    min: 0,
    max: 64 * 1024,
    help: 'bytes kept of what install.sh prints: its beginning and its end',
  },
  progressIntervalS: {
    key: 'progress_interval',
    type: 'whole',
    default: 300,
    min: 0,
    max: 86_400,
    help: 'seconds between progress reports of a long update; 0: none',
  },
} as const satisfies Record<string, SettingSpec>;

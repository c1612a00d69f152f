/** One row of the table of Engine.config, and how its text becomes a value. */

export type SettingValue = string | number | boolean;

export interface SettingSpec {
  key: string;
  type: 'whole' | 'text' | 'choice' | 'boolean';
  default: SettingValue;
  min?: number;
  max?: number;
  choices?: readonly string[];
  /** What a text must match, and how to say it; without a pattern, what kind of text it is. */
  pattern?: RegExp;
  expected?: string;
  /** What is wrong with a text that no pattern describes. */
  problemOf?(text: string): string | undefined;
  help: string;
  /** Whoever set it wanted to be protected by it: while it cannot be read, nothing is installed. */
  protects?: true;
  /** Not for everybody's eyes: neither is a file that holds it. */
  secret?: true;
}

/** The text of an option as a value of its type, or a sentence that says what was expected. */
export function decodeSetting(
  spec: SettingSpec,
  text: string,
): { value: SettingValue } | { problem: string } {
  switch (spec.type) {
    case 'whole': {
      const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
      const { min, max } = rangeOf(spec);
      if (value >= min && value <= max) return { value };
      return {
        problem: `${spec.key}: found '${text.slice(0, 60)}', expected a whole number from ${min} to ${max}`,
      };
    }
    case 'choice': {
      const value = spec.choices?.find((choice) => choice.toLowerCase() === text.toLowerCase());
      if (value !== undefined) return { value };
      return {
        problem: `${spec.key}: found '${text.slice(0, 60)}', expected one of ${spec.choices?.join(', ')}`,
      };
    }
    case 'boolean':
      if (/^(true|yes|on|1)$/i.test(text)) return { value: true };
      if (/^(false|no|off|0)$/i.test(text)) return { value: false };
      return { problem: `${spec.key}: found '${text.slice(0, 60)}', expected true or false` };
    case 'text': {
      const problem = spec.problemOf?.(text);
      if (problem !== undefined) return { problem: `${spec.key}: ${problem}` };
      if (spec.pattern?.test(text) !== false) return { value: text };
      return { problem: `${spec.key}: found '${text.slice(0, 60)}', expected ${spec.expected}` };
    }
  }
}

/** The values that `spec` takes, in a few words: `10 to 300`, `json or text`. */
export function allowedValues(spec: SettingSpec): string {
  switch (spec.type) {
    case 'whole': {
      const { min, max } = rangeOf(spec);
      return max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`;
    }
    case 'choice':
      return (spec.choices ?? []).join(', ');
    case 'boolean':
      return 'true or false';
    case 'text':
      return spec.expected ?? 'text';
  }
}

function rangeOf(spec: SettingSpec): { min: number; max: number } {
  return { min: spec.min ?? 0, max: spec.max ?? Number.MAX_SAFE_INTEGER };
}

/** supervisord's `%(name)s` expansion (Python's `%` with a dict), narrowed to the forms that always work. */

export type Expansions = Readonly<Record<string, string | number>>;

type Expanded = { ok: true; text: string } | { ok: false; found: string; expected: string; remedy: string };

const DIRECTIVE = /%%|%\(([^()]*)\)(0?\d{0,2})([sd])/y;

/** `text` with every directive replaced, or what is wrong with it. `%` alone must be written `%%`. */
export function expand(text: string, names: Expansions): Expanded {
  let result = '';
  let at = 0;
  for (let next = text.indexOf('%'); next >= 0; next = text.indexOf('%', at)) {
    result += text.slice(at, next);
    DIRECTIVE.lastIndex = next;
    const match = DIRECTIVE.exec(text);
    if (match === null) return badDirective(text.slice(next, next + 20));
    const replaced = match[0] === '%%' ? '%' : replacement(match, names);
    if (typeof replaced !== 'string') return replaced;
    result += replaced;
    at = next + match[0].length;
  }
  return { ok: true, text: result + text.slice(at) };
}

function replacement(match: RegExpExecArray, names: Expansions): string | Expanded {
  const [directive = '', name = '', width = '', type] = match;
  const value = Object.hasOwn(names, name) ? names[name] : undefined;
  if (value === undefined) return unknownName(directive, name, names);
  if (type === 'd' && typeof value !== 'number') {
    return {
      ok: false,
      found: directive,
      expected: `%(${name})s`,
      remedy: 'only process_num and numprocs are numbers',
    };
  }
  const zeros = type === 'd' && width.startsWith('0');
  return String(value).padStart(Number(width), zeros ? '0' : ' ');
}

function unknownName(directive: string, name: string, names: Expansions): Expanded {
  const known = Object.keys(names).filter((candidate) => !candidate.startsWith('ENV_'));
  const remedy = name.startsWith('ENV_')
    ? `supervisord has no variable ${name.slice(4)} in its environment; set it in the option 'environment' or in the program`
    : 'write %% for a plain %';
  return {
    ok: false,
    found: directive,
    expected: `one of ${known.join(', ')} or a known ENV_NAME`,
    remedy,
  };
}

function badDirective(found: string): Expanded {
  return {
    ok: false,
    found,
    expected: '%% or %(name)s',
    remedy: 'write %% for a plain %',
  };
}

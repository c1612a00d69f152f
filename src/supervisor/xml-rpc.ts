/** XML-RPC calls and responses, as much of it as supervisord speaks. */
import { XMLParser } from 'fast-xml-parser';

export type RpcValue = string | number | boolean | null | RpcValue[] | { [name: string]: RpcValue };

type RpcResponse =
  | { kind: 'value'; value: RpcValue }
  | { kind: 'fault'; code: number; text: string }
  | { kind: 'garbage'; found: string };

/** The body of a call. Strings may hold anything but control characters, which XML has no way to write. */
export function encodeCall(method: string, params: readonly (string | number | boolean)[]): string {
  const values = params.map((param) => `<param><value>${encodeValue(param)}</value></param>`).join('');
  return `<?xml version="1.0"?>\n<methodCall><methodName>${escapeText(method)}</methodName><params>${values}</params></methodCall>`;
}

function encodeValue(value: string | number | boolean): string {
  if (typeof value === 'boolean') return `<boolean>${value ? 1 : 0}</boolean>`;
  if (typeof value === 'number') return `<int>${Math.trunc(value)}</int>`;
  return `<string>${escapeText(value)}</string>`;
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Decodes a response body. Never throws: what is not XML-RPC is `garbage`. Declared entities are not expanded. */
export function decodeResponse(text: string): RpcResponse {
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) return { kind: 'garbage', found: 'a document type declaration' };
  try {
    return decodeDocument(createParser().parse(text, true));
  } catch (error) {
    return { kind: 'garbage', found: error instanceof Error ? error.message : String(error) };
  }
}

function createParser(): XMLParser {
  return new XMLParser({
    ignoreAttributes: true,
    ignoreDeclaration: true,
    parseTagValue: false,
    trimValues: false,
    processEntities: false,
    isArray: (name) => name === 'member' || name === 'value' || name === 'param',
  });
}

function decodeDocument(document: unknown): RpcResponse {
  const response = child(document, 'methodResponse');
  if (isRecord(response) && 'fault' in response) {
    const fault = decodeValue(child(response.fault, 'value'));
    if (!isRecord(fault)) throw new Error('a fault without members');
    return { kind: 'fault', code: Number(fault.faultCode), text: String(fault.faultString ?? '') };
  }
  const [param] = listOf(child(child(response, 'params'), 'param'));
  return { kind: 'value', value: decodeValue(child(param, 'value')) };
}

/** `nodes` is what the parser gives for `<value>`: a list of one. */
function decodeValue(nodes: unknown): RpcValue {
  const [node] = listOf(nodes);
  if (typeof node === 'string') return unescapeText(node);
  const type = isRecord(node) ? Object.keys(node).find((key) => key !== '#text') : undefined;
  if (!isRecord(node) || type === undefined) throw new Error('a value without a type');
  const content = node[type];
  switch (type) {
    case 'struct':
      return Object.fromEntries(listOf(optionalChild(content, 'member')).map(decodeMember));
    case 'array':
      return listOf(optionalChild(child(content, 'data'), 'value')).map((value) => decodeValue([value]));
    case 'nil':
      return null;
    case 'int':
    case 'i4':
      return decodeInteger(content);
    case 'boolean':
      return decodeInteger(content) !== 0;
    case 'string':
      return typeof content === 'string' ? unescapeText(content) : '';
    default:
      throw new Error(`a value of type ${type}`);
  }
}

function decodeMember(member: unknown): [string, RpcValue] {
  const name = child(member, 'name');
  if (typeof name !== 'string') throw new Error('a member without a name');
  return [unescapeText(name), decodeValue(child(member, 'value'))];
}

function decodeInteger(content: unknown): number {
  if (typeof content === 'string' && /^\s*-?\d{1,15}\s*$/.test(content)) return Number(content);
  throw new Error('not a number');
}

const NAMED: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function unescapeText(text: string): string {
  return text.replace(
    /&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9a-f]{1,6}));/gi,
    (whole, name, decimal, hex) => {
      if (name !== undefined) return NAMED[String(name).toLowerCase()] ?? whole;
      const point = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
      return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
    },
  );
}

function child(node: unknown, name: string): unknown {
  if (isRecord(node) && Object.hasOwn(node, name)) return node[name];
  throw new Error(`no <${name}>`);
}

/** As `child`; an empty element has none. */
function optionalChild(node: unknown, name: string): unknown {
  return isRecord(node) && Object.hasOwn(node, name) ? node[name] : [];
}

function listOf(node: unknown): unknown[] {
  return Array.isArray(node) ? node : [node];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** OpenAPI 3.1, made from the schemas that check the requests, so that it describes what actually happens. */
import type * as v from 'valibot';
import type { ApiCall } from './call.ts';
import { SESSION_COOKIE } from './people/cookies.ts';

type Json = Readonly<Record<string, unknown>>;

export function describeCalls(calls: readonly ApiCall[]): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const call of calls)
    paths[call.path] = { ...paths[call.path], [call.method.toLowerCase()]: describeCall(call) };
  return {
    openapi: '3.1.0',
    info: { title: 'gwe platform', version: '2' },
    servers: [{ url: '/gwe/v2' }],
    security: [{ token: [] }, { session: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        session: { type: 'apiKey', in: 'cookie', name: SESSION_COOKIE },
      },
      schemas: {
        Problem: {
          type: 'object',
          required: ['title', 'status', 'detail'],
          properties: { title: { type: 'string' }, status: { type: 'integer' }, detail: { type: 'string' } },
        },
      },
    },
  };
}

function describeCall({ path, query = [], schema, summary, permission, takes, gives = [] }: ApiCall): Json {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  const text = { type: 'string' };
  const parameters = [
    ...names.map((name) => ({ name, in: 'path', required: true, schema: text })),
    ...query.map((name) => ({ name, in: 'query', schema: text })),
  ];
  const json = schema === undefined ? {} : { 'application/json': { schema: toJsonSchema(schema) } };
  const content = { ...json, ...(takes === undefined ? {} : { [takes]: { schema: text } }) };
  const others = gives.map((type) => [type, { schema: text }]);
  const given = { 'application/json': { schema: { type: 'object' } }, ...Object.fromEntries(others) };
  return {
    summary,
    'x-permission': permission,
    ...(permission === 'anyone' ? { security: [] } : {}),
    parameters,
    ...(Object.keys(content).length === 0 ? {} : { requestBody: { content } }),
    responses: {
      '2XX': { description: 'done', content: given },
      default: {
        description: 'why not',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  };
}

/**
 * Converts the parts of valibot that the schemas of the calls use; throws for any other, which a test over all calls
 * would show.
 */
function toJsonSchema(schema: v.GenericSchema): Json {
  const parts: Json = { ...schema };
  const base = baseOf(schema.type, parts);
  const pipe = Array.isArray(parts.pipe) ? parts.pipe.slice(1) : [];
  return Object.assign({ ...base }, ...pipe.map((action: unknown) => boundOf(action, String(base.type))));
}

function baseOf(type: string, parts: Json): Json {
  switch (type) {
    case 'string':
    case 'number':
    case 'boolean':
      return { type };
    case 'picklist':
      return { enum: parts.options };
    case 'array':
      return { type, items: inner(parts.item) };
    case 'nullable':
      return { anyOf: [inner(parts.wrapped), { type: 'null' }] };
    case 'optional':
      return inner(parts.wrapped);
    case 'union':
      return { anyOf: listOf(parts.options).map(inner) };
    case 'record':
      return { type: 'object', propertyNames: inner(parts.key), additionalProperties: inner(parts.value) };
    case 'object': {
      const entries = Object.entries(isJson(parts.entries) ? parts.entries : {});
      const required = entries
        .filter(([, entry]) => isJson(entry) && entry.type !== 'optional')
        .map(([name]) => name);
      return {
        type,
        properties: Object.fromEntries(entries.map(([name, entry]) => [name, inner(entry)])),
        required,
      };
    }
    default:
      throw new Error(`no description of the schema '${type}'`);
  }
}

const BOUNDS: Readonly<Record<string, readonly [forLists: string, forOthers: string]>> = {
  min_length: ['minItems', 'minLength'],
  max_length: ['maxItems', 'maxLength'],
  min_value: ['minimum', 'minimum'],
  max_value: ['maximum', 'maximum'],
};

function boundOf(action: unknown, type: string): Json {
  if (!isJson(action)) return {};
  if (action.type === 'integer') return { type: 'integer' };
  if (action.type === 'regex' && action.requirement instanceof RegExp)
    return { pattern: action.requirement.source };
  const names = BOUNDS[String(action.type)];
  if (names === undefined) throw new Error(`no description of the check '${String(action.type)}'`);
  return { [type === 'array' ? names[0] : names[1]]: action.requirement };
}

function inner(schema: unknown): Json {
  if (isSchema(schema)) return toJsonSchema(schema);
  throw new Error('expected a schema');
}

function isSchema(value: unknown): value is v.GenericSchema {
  return isJson(value) && value.kind === 'schema';
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** `NAME.vVERSION.tar.gz`: the content id, the file name and the identity of an artifact (one-platform.md §4.5). */
import { describeError, GweError } from '../base/errors.ts';

export interface ArtifactName {
  name: string;
  version: string;
}

/** Every object has properties of these names, and some cannot be keys in a JSON file: records are kept by app name. */
const PROPERTIES: readonly string[] = [...Object.getOwnPropertyNames(Object.prototype), 'prototype'];

/** Both end up in paths and in program entries, so neither may hold `/`, `%`, `]`, `:`, `;` or white space. */
const NAME = `(?!(?:${PROPERTIES.join('|')})(?:\\.|$))[A-Za-z0-9_][A-Za-z0-9_+-]{0,63}`;
const VERSION = '[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}';
const CONTENT_ID = new RegExp(`^(${NAME})\\.v(${VERSION})\\.tar\\.gz$`);

export const APP_NAME_PATTERN = new RegExp(`^${NAME}$`);
export const APP_VERSION_PATTERN = new RegExp(`^${VERSION}$`);

/** gwe's own app: its tarball updates gwe itself, and no other app may take the name. */
export const RESERVED_APP_NAME = 'gwe';

/** A set of keys to trust instead of the present ones; nothing in it is run. */
export const KEYS_APP_NAME = 'gwe-keys';

/** The parts of a content id, or `undefined` if it is not one. */
export function matchArtifactName(contentId: string): ArtifactName | undefined {
  const match = CONTENT_ID.exec(contentId);
  return match?.[1] === undefined || match[2] === undefined
    ? undefined
    : { name: match[1], version: match[2] };
}

/** The parts of a content id; throws ARTIFACT_NAME, quoting what was found. */
export function parseArtifactName(contentId: string): ArtifactName {
  const parsed = matchArtifactName(contentId);
  if (parsed !== undefined) return parsed;
  throw new GweError(
    'ARTIFACT_NAME',
    `cannot use tarball name ${JSON.stringify(contentId.slice(0, 160))}: expected NAME.vVERSION.tar.gz, ` +
      'NAME of letters, digits, _ + - and VERSION of these and . (64 characters each at most); ' +
      `NAME may not be ${PROPERTIES[0]}, __proto__ or another name that every JavaScript object has`,
  );
}

/** What is wrong with it as the name of a tarball; `undefined` if nothing is. */
export function artifactNameProblem(contentId: string): string | undefined {
  try {
    parseArtifactName(contentId);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

export function renderArtifactName(artifact: ArtifactName): string {
  return `${artifact.name}.v${artifact.version}.tar.gz`;
}

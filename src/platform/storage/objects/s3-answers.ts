/** The answers of an object store, in XML, as far as they are used here. */
import { XMLParser } from 'fast-xml-parser';
import * as v from 'valibot';

const ErrorSchema = v.object({ Error: v.object({ Code: v.string(), Message: v.optional(v.string(), '') }) });

/** `CODE: MESSAGE`; empty for anything that is not an error in XML. */
export function errorOf(text: string): string {
  const found = v.safeParse(ErrorSchema, parse(text));
  if (!found.success) return '';
  const { Code, Message } = found.output.Error;
  return `${Code}: ${Message}`.replace(/\s+/g, ' ').slice(0, 300);
}

const UploadSchema = v.object({ InitiateMultipartUploadResult: v.object({ UploadId: v.string() }) });

export function uploadIdOf(text: string): string {
  return v.parse(UploadSchema, parse(text)).InitiateMultipartUploadResult.UploadId;
}

const ListSchema = v.object({
  ListBucketResult: v.object({
    Contents: v.optional(
      v.array(v.object({ Key: v.string(), Size: v.string(), LastModified: v.string() })),
      [],
    ),
    NextContinuationToken: v.optional(v.string()),
  }),
});

interface ObjectList {
  objects: { key: string; sizeBytes: number; modifiedAt: number }[];
  /** The token of the next page. */
  next: string | undefined;
}

export function objectsOf(text: string): ObjectList {
  const { Contents, NextContinuationToken } = v.parse(ListSchema, parse(text)).ListBucketResult;
  const objects = Contents.map(({ Key, Size, LastModified }) => ({
    key: Key,
    sizeBytes: Number(Size),
    modifiedAt: Math.floor(Date.parse(LastModified) / 1000),
  }));
  return { objects, next: NextContinuationToken };
}

const UploadsSchema = v.object({
  ListMultipartUploadsResult: v.object({
    Upload: v.optional(
      v.array(v.object({ Key: v.string(), UploadId: v.string(), Initiated: v.string() })),
      [],
    ),
  }),
});

export function uploadsOf(text: string): { key: string; id: string; startedAt: number }[] {
  return v
    .parse(UploadsSchema, parse(text))
    .ListMultipartUploadsResult.Upload.map(({ Key, UploadId, Initiated }) => ({
      key: Key,
      id: UploadId,
      startedAt: Math.floor(Date.parse(Initiated) / 1000),
    }));
}

/** `undefined` for anything that is not XML. Entities declared by the document itself are not expanded. */
function parse(text: string): unknown {
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) return undefined;
  const parser = new XMLParser({
    ignoreAttributes: true,
    ignoreDeclaration: true,
    parseTagValue: false,
    isArray: (name) => name === 'Contents' || name === 'Upload',
  });
  try {
    const document: unknown = parser.parse(text);
    // An element without content is decoded as an empty text.
    return document;
  } catch {
    return undefined;
  }
}

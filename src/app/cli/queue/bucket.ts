/** Accesses a bucket of an S3 server. Only this file loads the AWS SDK, which reads server and keys from its environment variables. */
import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import type { GetObjectCommandOutput, S3Client } from "@aws-sdk/client-s3";
import { bytesOfText, errorMessage, PithError, stripPeriod } from "#ir";
import type { Bucket } from "../../../judge/steps/bucket-store.ts";
import { publicAddress } from "../print/addresses.ts";

/** Bytes per part of an upload. Four parts are in memory at a time. An object has at most 10,000 parts, which limits its size to 168 GB. */
const partSize = 16 * 2 ** 20;
const [connectionTimeout, socketTimeout] = [10_000, 60_000];
const [maxAttempts, maxBreaks] = [6, 5];

interface BucketPlace {
  readonly bucket: string;
  /** Prefix of object names: "", or a text that ends in "/". */
  readonly prefix: string;
}

/** Parses the address of a store. @returns undefined for a folder. @throws PithError E_USAGE for an address other than s3://bucket/prefix. */
export function bucketPlace(store: string): BucketPlace | undefined {
  if (!/^[a-z][a-z0-9+.-]+:\/\//i.test(store)) return undefined;
  const [, bucket = "", path = ""] = /^s3:\/\/([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(store) ?? [];
  const parts = path.replace(/\/$/, "").split("/");
  if (bucket === "" || (path !== "" && !parts.every((part) => /^(?!\.{1,2}$)[\w!.*'()=@+ -]+$/.test(part))))
    throw new PithError("E_USAGE", `"${publicAddress(store)}" is not the address of a store.`, {
      hint: "Use a folder, or s3://bucket/prefix; set AWS_ENDPOINT_URL for a server that is not Amazon's.",
    });
  return { bucket, prefix: path === "" ? "" : `${parts.join("/")}/` };
}

/** Opens a bucket without sending a request. @throws PithError E_USAGE, E_ENGINE_MISSING if the SDK is not installed. */
export async function openBucket(address: string): Promise<Bucket> {
  const place = bucketPlace(address);
  if (place === undefined) throw new RangeError(`"${address}" is a folder`);
  const { sdk, Upload } = await loadDriver();
  const client = clientOf(sdk);
  const addressOf = (name: string) => ({ Bucket: place.bucket, Key: `${place.prefix}${name}` });
  const withExplanation = <T>(request: Promise<T>): Promise<T> =>
    request.catch((cause: unknown) => {
      throw failureOf(cause, place.bucket);
    });
  const unlessMissing = <T>(request: Promise<T>): Promise<T | undefined> =>
    withExplanation(
      request.catch((cause: unknown) => {
        if (cause instanceof sdk.NoSuchKey || cause instanceof sdk.NotFound) return undefined;
        throw cause;
      }),
    );
  const getObject = (name: string, Range?: string, IfMatch?: string) =>
    client.send(new sdk.GetObjectCommand({ ...addressOf(name), Range, IfMatch }));
  const bytesOf = async function* (name: string, first: GetObjectCommandOutput): AsyncIterable<Uint8Array> {
    let start = 0;
    for (let [breaks, response] = [0, first]; ; breaks++) {
      if (!(response.Body instanceof Readable)) throw new RangeError("the SDK responded without a stream");
      try {
        for await (const chunk of response.Body) {
          const bytes: Uint8Array = chunk;
          start += bytes.length;
          yield bytes;
        }
        return;
      } catch (cause) {
        if (breaks === maxBreaks) throw failureOf(cause, place.bucket);
      }
      response = await withExplanation(getObject(name, `bytes=${start}-`, first.ETag));
    }
  };
  return {
    has: async (name) => (await unlessMissing(client.send(new sdk.HeadObjectCommand(addressOf(name))))) !== undefined,
    async read(name) {
      const first = await unlessMissing(getObject(name));
      return first && bytesOf(name, first);
    },
    async write(name, bytes) {
      const Body = Readable.from(bytes, { objectMode: true });
      await withExplanation(new Upload({ client, partSize, params: { ...addressOf(name), Body } }).done());
    },
  };
}

/**
 * Tries every required operation on a bucket, so that errors appear before any work starts. @returns a mark that identifies the bucket. After all
 * objects were removed, the bucket gets a new mark. @throws PithError E_FILE.
 */
export async function testBucket(bucket: Bucket): Promise<string> {
  const markName = "store";
  // Without permission to list objects, the server would report a missing object as denied access.
  await bucket.has(randomUUID());
  await bucket.write(markName, [bytesOfText((await textOf(bucket, markName)) ?? randomUUID())]);
  const mark = await textOf(bucket, markName);
  // The mark becomes the name of a folder, so it must be a UUID.
  if (mark !== undefined && /^[0-9a-f-]{36}$/.test(mark)) return mark;
  throw new PithError("E_FILE", `The object "${markName}" in the bucket is not one that Pith wrote.`, {
    hint: "Name another prefix: s3://bucket/prefix.",
  });
}

export async function textOf(bucket: Bucket, name: string): Promise<string | undefined> {
  const bytes = await bucket.read(name);
  if (bytes === undefined) return undefined;
  const parts: Uint8Array[] = [];
  for await (const part of bytes) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

async function loadDriver() {
  try {
    return { sdk: await import("@aws-sdk/client-s3"), Upload: (await import("@aws-sdk/lib-storage")).Upload };
  } catch (cause) {
    throw new PithError("E_ENGINE_MISSING", "A store in a bucket needs the AWS SDK, which is not installed.", {
      hint: "npm install @aws-sdk/client-s3 @aws-sdk/lib-storage",
      cause,
    });
  }
}

const endpoint = (): string | undefined => process.env.AWS_ENDPOINT_URL_S3 || process.env.AWS_ENDPOINT_URL || undefined;

function clientOf({ S3Client }: typeof import("@aws-sdk/client-s3")): S3Client {
  const url = endpoint();
  if (url !== undefined && !(URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)))
    throw new PithError("E_USAGE", `AWS_ENDPOINT_URL is not the address of a server: "${publicAddress(url)}".`, {
      hint: "Use http://host:9000, or https://host.",
    });
  const region = process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION || (url && "us-east-1");
  return new S3Client({
    ...(url === undefined ? { followRegionRedirects: true } : { endpoint: url, forcePathStyle: true }),
    ...(region === undefined ? {} : { region }),
    maxAttempts,
    // Not every server supports the newer checksums, and Pith verifies hashes itself.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { connectionTimeout, socketTimeout },
  });
}

const keysHint =
  "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a profile, or the machine's role), and allow s3:GetObject, s3:PutObject and s3:ListBucket.";

/** Returns an error with the server's message only, because requests contain signatures, which must not be printed. */
function failureOf(cause: unknown, bucket: string): PithError {
  if (cause instanceof PithError) return cause;
  const { name = "", code = "", $metadata } = (cause ?? {}) as ServiceError;
  const status = $metadata?.httpStatusCode;
  const detail = /^(unknown.*)?$/i.test(errorMessage(cause)) ? "" : `: ${stripPeriod(errorMessage(cause))}`;
  const url = endpoint();
  const server = url === undefined ? "Amazon S3" : publicAddress(url);
  const fileError = (sentence: string, hint?: string): PithError => new PithError("E_FILE", sentence, { hint });
  if (name === "NoSuchBucket")
    return fileError(
      `There is no bucket "${bucket}" at ${server}.`,
      "Create it first, or set AWS_ENDPOINT_URL for another server.",
    );
  if (/Credentials|ExpiredToken/.test(name) || status === 401 || status === 403)
    return fileError(`The bucket "${bucket}" denies access${detail}.`, keysHint);
  if (/region is missing/i.test(detail)) return fileError("The region of the bucket is not known.", "Set AWS_REGION.");
  if (/^(E[A-Z_]+)$/.test(code) || name === "TimeoutError")
    return fileError(`No server answers at ${server} (${code || name}).`, "Set AWS_ENDPOINT_URL for another server.");
  return fileError(`The bucket "${bucket}" at ${server} cannot be used${detail || ` (${name} ${status ?? ""})`}.`);
}

/** Fields of the SDK's errors that are used here. */
interface ServiceError {
  readonly name?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

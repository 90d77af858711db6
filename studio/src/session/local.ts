/**
 * Answers the page's calls in a process of `pith studio`, as a job. The working folder contains the files that the page uploaded, and those of
 * candidates.
 */
import { randomUUID } from "node:crypto";
import { createReadStream, createWriteStream, existsSync, openAsBlob, statSync } from "node:fs";
import { lstat, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliCompress, constants as zlib } from "node:zlib";
import { encodeToBytes, inspect, open, PithError } from "pith";
import { recipeFrom } from "pith/compress";
import { size } from "pith/evaluate";
import { filesOfRecipe } from "../../../src/app/report/index.ts";
import type { DownloadSizes, StoredFile, Subject } from "../backend/backend.ts";
import type { Request } from "../backend/messages.ts";
import { decode, encode } from "../plain.ts";
import { createAnswerer } from "./answer.ts";
import { contentOfBytes, contentOfFile } from "./content.ts";
import { gzipSize } from "./download-sizes.ts";
import { type CallContext, createSession, type Session } from "./session.ts";

interface Input {
  /** The working folder. */
  readonly folder: string;
  /** Paths that may be read in addition to the working folder. */
  readonly paths: readonly string[];
}

/** Folder of candidates in the working folder. */
const candidateFolder = ".candidates";

type Message = { readonly id: number; readonly stop: true } | (Omit<Request, "parameters"> & { parameters: string });

export default async function serveSession(
  { folder, paths }: Input,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  process.chdir(folder);
  const send = (message: object): void => void process.send?.(message);
  const answer = createAnswerer(
    createLocalSession(folder, paths),
    ({ id, ...content }) => send({ id, isLast: !("progress" in content), line: encode(content) }),
    "Use fewer samples, or a machine with more memory.",
  );
  process.on("message", (message: Message | { readonly pith: string }) => {
    if ("pith" in message) return;
    answer("stop" in message ? message : ({ ...message, parameters: parametersOf(message.parameters) } as Request));
  });
  send({ ready: true });
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
}

/** Returns an empty list for a text that is not a list. The call then reports what is missing. */
function parametersOf(text: string): readonly unknown[] {
  try {
    const parameters = decode(text);
    return Array.isArray(parameters) ? parameters : [];
  } catch {
    return [];
  }
}

/** The session, in which files are passed by their paths. */
type LocalSession = Omit<Session, "make" | "layerErrors" | "time" | "timeOnGpu" | "downloadSizes" | "brotli"> & {
  make(...parameters: Parameters<Session["make"]>): Promise<object>;
  layerErrors(subject: Subject, file: StoredFile, context: CallContext): Promise<unknown>;
  time(subject: Subject, file: StoredFile, context: CallContext): Promise<unknown>;
  timeOnGpu(subject: Subject, file: StoredFile, context: CallContext): Promise<string>;
  downloadSizes(file: StoredFile | string): Promise<DownloadSizes>;
  brotli(file: StoredFile, context: CallContext): Promise<StoredFile>;
};

const pathsOfSubject = ({ model, samples }: Subject): readonly unknown[] =>
  samples === undefined ? [model] : [model, samples.data];

/** All paths in the parameters of each call. No call is made before they are checked. */
const pathsOf: {
  readonly [K in keyof LocalSession]: (...parameters: Parameters<LocalSession[K]>) => readonly unknown[];
} = {
  addFiles: () => [],
  openModel: (place) => [place],
  graph: pathsOfSubject,
  openSamples: (model, { data }) => [model, data],
  make: (subject, { made }) => [
    ...pathsOfSubject(subject),
    ...("steps" in made ? filesOfRecipe(recipeFrom(made)) : []),
  ],
  layerErrors: (subject, { storedAt }) => [...pathsOfSubject(subject), storedAt],
  time: (subject, { storedAt }) => [...pathsOfSubject(subject), storedAt],
  timeOnGpu: (subject, { storedAt }) => [...pathsOfSubject(subject), storedAt],
  downloadSizes: (file) => [typeof file === "string" ? file : file.storedAt],
  downloadRates: (model) => [model],
  smallestDownload: pathsOfSubject,
  brotli: ({ storedAt }) => [storedAt],
  report: () => [],
};

/** Returns the session of a working folder. @param paths that may be read in addition to the folder. */
export function createLocalSession(folder: string, paths: readonly string[]): LocalSession {
  const session = createSession(async (bytes) => (await size(bytes)).brotli);
  const calls: LocalSession = {
    ...session,
    async make(subject, request, context) {
      const { file, ...candidate } = await session.make(subject, request, context);
      const path = `${candidateFolder}/${randomUUID()}.onnx`;
      await writeFile(path, file.stream());
      return { ...candidate, file: { storedAt: path } satisfies StoredFile };
    },
    async layerErrors(subject, { storedAt }, context) {
      return session.layerErrors(subject, await openStored(storedAt), context);
    },
    async time(subject, { storedAt }, context) {
      return session.time(subject, await openStored(storedAt), context);
    },
    async timeOnGpu(subject, { storedAt }, context) {
      return session.timeOnGpu(subject, await openStored(storedAt), context);
    },
    async downloadSizes(file) {
      const place = typeof file === "string" ? file : file.storedAt;
      const isSingleFile = existsSync(place) && (typeof file !== "string" || (await hasAllWeights(place)));
      const part = isSingleFile ? place : await encodeToBytes(await openPlace(place));
      const content = typeof part === "string" ? contentOfFile(await openStored(part)) : contentOfBytes(part);
      return { gzip: await gzipSize(content), brotli: (await size(part)).brotli };
    },
    async brotli({ storedAt }, { signal }) {
      const path = `${candidateFolder}/${randomUUID()}.br`;
      const params = { [zlib.BROTLI_PARAM_QUALITY]: 11, [zlib.BROTLI_PARAM_LGWIN]: 24 };
      await openStored(storedAt);
      await pipeline(createReadStream(storedAt), createBrotliCompress({ params }), createWriteStream(path), { signal });
      return { storedAt: path };
    },
  };
  const checked = Object.entries(calls).map(([name, call]) => {
    const checkedCall = async (...parameters: unknown[]): Promise<unknown> => {
      const callPaths = readPaths(name, pathsOf[name as keyof LocalSession] as AnyCall, parameters);
      for (const path of callPaths) if (!paths.includes(path)) await requireInside(folder, path);
      return (call as AnyCall)(...parameters);
    };
    return [name, checkedCall];
  });
  return Object.fromEntries(checked) as LocalSession;
}

/** @throws PithError E_FILE. */
async function openStored(path: string): Promise<Blob> {
  try {
    return await openAsBlob(path);
  } catch (cause) {
    throw new PithError("E_FILE", `"${path}" cannot be opened.`, { cause });
  }
}

type AnyCall = (...parameters: readonly unknown[]) => unknown;

/** @throws PithError E_OPTION for parameters that the call does not have. */
function readPaths(name: string, read: AnyCall, parameters: readonly unknown[]): readonly string[] {
  try {
    return (read(...parameters) as readonly unknown[]).map((path) => {
      if (typeof path === "string") return path;
      throw new TypeError(`a path is ${typeof path}`);
    });
  } catch (cause) {
    if (cause instanceof PithError) throw cause;
    throw new PithError("E_OPTION", `The parameters of the call "${name}" are not valid.`, { cause });
  }
}

/** Checks that a path is a URL, or leads to files of the folder only. @throws PithError E_FILE; E_UNSUPPORTED for code. */
async function requireInside(folder: string, path: string): Promise<void> {
  const parts = path.split("/");
  const isUrl = /^https?:\/\//i.test(path) && URL.canParse(path);
  // Windows reads ".. " as "..".
  let isOutside = parts.some((part) => /^\.[. ]+$/.test(part)) || (!isUrl && /^\/|[\0\\:]/.test(path));
  let place = folder;
  for (const part of isOutside || isUrl ? [] : parts) {
    place = join(place, part);
    const stats = await lstat(place).catch(() => undefined);
    isOutside ||= stats?.isSymbolicLink() === true;
  }
  // A folder of samples is read with all that is in it.
  const entries = isOutside || isUrl ? [] : await readdir(place, options).catch(() => []);
  if (isOutside || entries.some((entry) => entry.isSymbolicLink()))
    throw new PithError("E_FILE", `"${path}" is not a file of this page.`, { hint: "Choose it in the page." });
  if (/\.[cm]?[jt]s(\/|$)/i.test(path) && !isUrl)
    throw new PithError("E_UNSUPPORTED", `"${path}" is code, which the page does not run.`, {
      hint: `Name it on the command line: pith studio model.onnx --data ${path}`,
    });
}

const options = { recursive: true, withFileTypes: true } as const;

const openPlace = (place: string) => open(/^https?:/i.test(place) ? new URL(place) : place);

/** Returns whether a model has no external data. */
async function hasAllWeights(path: string): Promise<boolean> {
  return (await inspect(await open(path))).bytes <= 1.1 * statSync(path).size;
}

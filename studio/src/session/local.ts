/**
 * Answers the page's calls in a process of `pith studio`, as a job. The working folder contains the files that the page uploaded, and those of
 * candidates.
 */
import { randomUUID } from "node:crypto";
import { existsSync, openAsBlob, statSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { encodeToBytes, inspect, open, PithError } from "pith";
import { size } from "pith/evaluate";
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
  await mkdir(candidateFolder, { recursive: true });
  const send = (message: object): void => void process.send?.(message);
  const answer = createAnswerer(
    createLocalSession(paths),
    ({ id, ...content }) => send({ id, isLast: !("progress" in content), line: encode(content) }),
    "Use fewer samples, or a machine with more memory.",
  );
  process.on("message", (message: Message | { readonly pith: string }) => {
    if ("pith" in message) return;
    answer("stop" in message ? message : ({ ...message, parameters: decode(message.parameters) } as Request));
  });
  send({ ready: true });
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
}

/** The session, in which files are passed by their paths. */
type LocalSession = Omit<Session, "make" | "layerErrors" | "downloadSizes"> & {
  make(...parameters: Parameters<Session["make"]>): Promise<object>;
  layerErrors(subject: Subject, file: StoredFile, context: CallContext): Promise<unknown>;
  downloadSizes(file: StoredFile | string): Promise<DownloadSizes>;
};

function createLocalSession(paths: readonly string[]): LocalSession {
  const check = (path: string): void => {
    if (paths.includes(path) || /^https?:/i.test(path)) return;
    if (/^[/\\]|^[a-z]:|(^|[/\\])\.\.([/\\]|$)/i.test(path))
      throw new PithError("E_FILE", `"${path}" is not a file of this page.`, { hint: "Choose it in the page." });
    if (/\.[cm]?[jt]s$/.test(path))
      throw new PithError("E_UNSUPPORTED", `"${path}" is code, which the page does not run.`, {
        hint: `Name it on the command line: pith studio model.onnx --data ${path}`,
      });
  };
  const session = createSession(check);

  return {
    ...session,
    async make(subject, request, context) {
      const { file, ...candidate } = await session.make(subject, request, context);
      const path = `${candidateFolder}/${randomUUID()}.onnx`;
      await writeFile(path, file.stream());
      return { ...candidate, file: { storedAt: path } satisfies StoredFile };
    },
    async layerErrors(subject, { storedAt }, context) {
      check(storedAt);
      return session.layerErrors(subject, await openAsBlob(storedAt), context);
    },
    async downloadSizes(file) {
      const place = typeof file === "string" ? file : file.storedAt;
      check(place);
      const isSingleFile = existsSync(place) && (typeof file !== "string" || (await hasAllWeights(place)));
      const part = isSingleFile ? place : await encodeToBytes(await openPlace(place));
      const content = typeof part === "string" ? contentOfFile(await openAsBlob(part)) : contentOfBytes(part);
      return { gzip: await gzipSize(content), brotli: (await size(part)).brotli };
    },
  };
}

const openPlace = (place: string) => open(/^https?:/i.test(place) ? new URL(place) : place);

/** Returns whether a model has no external data. */
async function hasAllWeights(path: string): Promise<boolean> {
  return (await inspect(await open(path))).bytes <= 1.1 * statSync(path).size;
}

/**
 * Answers the page's calls in a process of `pith studio`, as a job. The working folder contains the files that the page uploaded, and those of
 * candidates. What was opened is recorded, so that a process that replaces this one opens it again.
 */
import { randomUUID } from "node:crypto";
import { existsSync, openAsBlob, readFileSync, renameSync, statSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeToBytes, inspect, open, PithError } from "pith";
import { size } from "pith/evaluate";
import type { DownloadSizes, SamplesRequest, StoredFile } from "../backend/backend.ts";
import type { Request } from "../backend/messages.ts";
import { decode, encode } from "../plain.ts";
import { createAnswerer } from "./answer.ts";
import { contentOfBytes, contentOfFile } from "./content.ts";
import { gzipSize } from "./download-sizes.ts";
import { type CallContext, createSession, type Session } from "./session.ts";

interface Input {
  /** Folder of the record and of the working folder `files`. */
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
  process.chdir(join(folder, "files"));
  await mkdir(candidateFolder, { recursive: true });
  const send = (message: object): void => void process.send?.(message);
  const answer = createAnswerer(
    createLocalSession(join(folder, "opened.json"), paths),
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

interface Opened {
  readonly model?: string;
  readonly samples?: SamplesRequest | undefined;
}

/** The session, in which files are passed by their paths. */
type LocalSession = Omit<Session, "make" | "layerErrors" | "downloadSizes"> & {
  make(...parameters: Parameters<Session["make"]>): Promise<object>;
  layerErrors(file: StoredFile, context: CallContext): Promise<unknown>;
  downloadSizes(file: StoredFile | undefined): Promise<DownloadSizes>;
};

function createLocalSession(record: string, paths: readonly string[]): LocalSession {
  const session = createSession();
  let opened: Opened = existsSync(record) ? JSON.parse(readFileSync(record, "utf8")) : {};
  let mustOpen: Opened = opened;
  const keep = async (next: Opened): Promise<void> => {
    opened = next;
    await writeFile(`${record}.new`, JSON.stringify(next));
    renameSync(`${record}.new`, record);
  };
  const reopenModel = async (context: CallContext): Promise<void> => {
    if (mustOpen.model === undefined) return;
    await session.openModel(mustOpen.model, context);
    mustOpen = { samples: mustOpen.samples };
  };
  const reopenSamples = async (context: CallContext): Promise<void> => {
    await reopenModel(context);
    if (mustOpen.samples !== undefined) await session.openSamples(mustOpen.samples, context);
    mustOpen = {};
  };
  const allow = (path: string): string => {
    if (paths.includes(path) || /^https?:/i.test(path)) return path;
    if (/^[/\\]|^[a-z]:|(^|[/\\])\.\.([/\\]|$)/i.test(path))
      throw new PithError("E_FILE", `"${path}" is not a file of this page.`, { hint: "Choose it in the page." });
    if (/\.[cm]?[jt]s$/.test(path))
      throw new PithError("E_UNSUPPORTED", `"${path}" is code, which the page does not run.`, {
        hint: `Name it on the command line: pith studio model.onnx --data ${path}`,
      });
    return path;
  };

  return {
    ...session,
    async openModel(place, context) {
      const view = await session.openModel(allow(place), context);
      mustOpen = {};
      await keep({ model: place });
      return view;
    },
    async openSamples(request, context) {
      allow(request.data);
      await reopenModel(context);
      const view = await session.openSamples(request, context);
      mustOpen = {};
      await keep({ ...opened, samples: request });
      return view;
    },
    async graph(context) {
      await reopenModel(context);
      return session.graph(context);
    },
    async make(request, context) {
      await reopenSamples(context);
      const { file, ...candidate } = await session.make(request, context);
      const path = `${candidateFolder}/${randomUUID()}.onnx`;
      await writeFile(path, file.stream());
      return { ...candidate, file: { storedAt: path } satisfies StoredFile };
    },
    async layerErrors(file, context) {
      await reopenSamples(context);
      return session.layerErrors(await openAsBlob(allow(file.storedAt)), context);
    },
    async downloadSizes(file) {
      const place = file === undefined ? opened.model : allow(file.storedAt);
      if (place === undefined) throw new Error("No model is open.");
      const isSingleFile = existsSync(place) && (file !== undefined || (await hasAllWeights(place)));
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

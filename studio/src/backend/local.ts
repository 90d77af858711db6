/** Calls the server of `pith studio`, which runs Pith in a process of this computer. The package contains the page with this backend instead of `tab.ts`. */
import { decode, encode } from "../plain.ts";
import {
  type Backend,
  type CallOptions,
  type Calls,
  type Candidate,
  type ChosenFiles,
  Failure,
  type Progress,
  type StoredFile,
} from "./backend.ts";

type Answer =
  | { readonly progress: Progress }
  | { readonly value: unknown }
  | {
      readonly failure: {
        readonly message: string;
        readonly code: string;
        readonly hint?: string;
        readonly isCrash?: boolean;
      };
    };

/** Files that are uploaded at the same time. */
const maxUploads = 6;

/** Paths of files that the server has. */
const storedFiles = new WeakMap<Blob, StoredFile>();

/** Milliseconds after which another tab still has the page, and not one that is being reloaded. */
const lockTimeout = 2000;

/** Resolves when this is the only tab of the page. Tabs would replace each other's files of the same name. @throws Failure. */
const requireOnlyTab = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const options = { signal: AbortSignal.timeout(lockTimeout) };
    const hold = (): Promise<void> => {
      resolve();
      return new Promise(() => {});
    };
    navigator.locks
      .request("pith-studio-page", options, hold)
      .catch(() =>
        reject(
          new Failure(
            "This page is open in another tab.",
            "E_ENGINE",
            "Use the other tab, or close it and reload this one. Another `pith studio` has its own page.",
          ),
        ),
      );
  });

export function createBackend(): Backend {
  const onlyTab = requireOnlyTab();
  onlyTab.catch(() => {});
  async function call<K extends keyof Calls>(
    name: K,
    parameters: Parameters<Calls[K]>,
    options: CallOptions = {},
  ): Promise<ReturnType<Calls[K]>> {
    await onlyTab;
    if (name === "addFiles") return (await upload(parameters[0] as ChosenFiles, options)) as ReturnType<Calls[K]>;
    const sent = await Promise.all(parameters.map((each) => (each instanceof Blob ? store(each, options) : each)));
    const response = await request(`calls/${name}`, { method: "POST", body: encode(sent) }, options);
    const value = await readValue(response, options);
    if (name === "brotli") return (await blobOf(value as StoredFile, options)) as ReturnType<Calls[K]>;
    return (name === "make" ? await withFile(value as MadeCandidate, options) : value) as ReturnType<Calls[K]>;
  }
  return {
    call: (name, parameters, options) =>
      call(name, parameters, options).catch((error) => {
        throw failureOf(error);
      }),
  };
}

type MadeCandidate = Omit<Candidate, "file"> & { readonly file: StoredFile };

/** Replaces the path of a candidate's file by the file. */
async function withFile({ file, ...candidate }: MadeCandidate, options: CallOptions): Promise<Candidate> {
  const blob = await blobOf(file, options);
  storedFiles.set(blob, file);
  return { ...candidate, file: blob };
}

const blobOf = async ({ storedAt }: StoredFile, options: CallOptions): Promise<Blob> =>
  (await request(`files/${storedAt}`, {}, options)).blob();

/** Returns the path of a file. Uploads it if the server does not have it, for example because it was made by an earlier server. */
async function store(file: Blob, options: CallOptions): Promise<StoredFile> {
  const stored = storedFiles.get(file) ?? { storedAt: `.candidates/${crypto.randomUUID()}.onnx` };
  if (!storedFiles.has(file)) await upload([[stored.storedAt, file]], options);
  storedFiles.set(file, stored);
  return stored;
}

async function request(path: string, init: RequestInit, { signal }: CallOptions): Promise<Response> {
  const response = await fetch(path, { ...init, signal: signal ?? null });
  if (response.ok) return response;
  throw new Failure("The server does not know this page.", "E_ENGINE", "Start `pith studio` again.");
}

async function upload(files: readonly (readonly [path: string, file: Blob])[], options: CallOptions): Promise<void> {
  const queue = files.entries();
  const total = files.length;
  let done = 0;
  const work = async (): Promise<void> => {
    for (const [, [path, file]] of queue) {
      const response = await request(
        `files/${path.split("/").map(encodeURIComponent).join("/")}`,
        { method: "PUT", body: file },
        options,
      );
      await readValue(response, options);
      options.onProgress?.({ stage: "copy the files for the server", done: ++done, total });
    }
  };
  await Promise.all(Array.from({ length: maxUploads }, work));
}

/** Reads lines of answers, and returns the value. */
async function readValue({ body }: Response, { onProgress }: CallOptions): Promise<unknown> {
  let rest = "";
  let value: unknown;
  const reader = body?.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value: text, done } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done) return value;
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const answer = decode(line) as Answer;
      if ("failure" in answer) {
        const { message, code, hint, isCrash } = answer.failure;
        throw new Failure(message, code, hint, isCrash);
      }
      if ("progress" in answer) onProgress?.(answer.progress);
      else value = answer.value;
    }
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof DOMException && error.name === "AbortError")
    return new Failure("Canceled.", "E_STOPPED", undefined);
  return new Failure("Pith Studio has ended on this computer.", "E_ENGINE", "Start `pith studio` again.");
}

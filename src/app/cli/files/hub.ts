/** Downloads the files of a Hugging Face Hub model that Pith reads into the Hub's cache, and checks them by size and hash. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import * as fs from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join, posix, relative, sep } from "node:path";
import {
  bytes,
  errorMessage,
  fileError,
  open,
  PithError,
  stripPeriod,
  throwIfAborted,
  truncateList,
  usageError,
} from "#ir";
import { asFileError } from "../../../core/platform/node-file-errors.ts";
import { basesIn, isSidecarFile, usedBases } from "../../folder/file-names.ts";
import type { Terminal } from "../print/terminal.ts";

/** The functions of @huggingface/hub that Pith calls. The package is optional, so its own types can be missing. */
interface HubLibrary {
  getHFHubCachePath(): string;
  getRepoFolderName(repo: Repository["repo"]): string;
  modelInfo(request: HubRequest & { name: string; additionalFields: string[] }): Promise<{ sha?: string }>;
  listFiles(request: Repository & { recursive: boolean }): AsyncIterable<HubFile>;
  downloadFile(request: Repository & { path: string; xet: boolean }): Promise<HubContent | null>;
}

interface HubRequest {
  readonly hubUrl: string;
  readonly revision: string;
  readonly fetch: typeof fetch;
}

interface Repository extends HubRequest {
  readonly repo: { readonly type: "model"; readonly name: string };
}

interface HubFile {
  readonly type: string;
  readonly path: string;
  readonly size: number;
  /** SHA-1 of Git, or SHA-256 of a large file in `lfs`. */
  readonly oid?: string;
  readonly lfs?: { readonly oid: string };
}

interface HubContent {
  slice(start: number, end: number): { stream(): AsyncIterable<Uint8Array> };
}

const namePart = "[\\w-][\\w.-]*";
const hubName = new RegExp(`^hf:(${namePart}/${namePart})(?:@((?:refs/(?:pr|convert)/)?${namePart}))?(?:/(.*?))?/?$`);
const hash = /^[0-9a-f]{40,64}$/;

/**
 * Downloads the model that `hf:owner/name`, `hf:owner/name@revision` or `hf:owner/name/onnx/model.onnx` names, and returns its path in the cache.
 * @throws PithError E_USAGE for another name; E_ENGINE_MISSING without @huggingface/hub; E_FILE if the download fails; E_STOPPED.
 */
export async function downloadModel(
  modelName: string,
  { terminal, signal }: { readonly terminal: Terminal; readonly signal: AbortSignal },
): Promise<string> {
  const [, name, revision = "main", place = ""] = hubName.exec(modelName) ?? [];
  if (name === undefined)
    throw usageError(`${modelName} is not the name of a model on the Hugging Face Hub.`, {
      hint: "Use hf:owner/name, hf:owner/name@revision, or hf:owner/name/onnx/model.onnx.",
    });
  const library = await loadLibrary();
  const hubUrl = (process.env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
  const access = { hubUrl, fetch: await createFetch(modelName, hubUrl, `${hubUrl}/${name}`, signal) };
  const repo = { type: "model", name } as const;
  const cache = join(library.getHFHubCachePath(), library.getRepoFolderName(repo));
  const reference = join(cache, "refs", revision);
  const { sha = "" } = isOffline()
    ? { sha: await fs.readFile(reference, "utf8").catch(valueIfMissing(reference, revision)) }
    : await library.modelInfo({ ...access, name, revision, additionalFields: ["sha"] });
  const snapshot = join(cache, "snapshots", sha);
  const repository: Repository = { ...access, repo, revision: sha };
  const files = new Map<string, HubFile>();
  const list = isOffline() ? listSnapshot(snapshot) : library.listFiles({ ...repository, recursive: true });
  if (hash.test(sha)) for await (const file of list) if (isOffline() || isSafe(file)) files.set(file.path, file);
  if (isOffline() && files.size === 0) throw fileError(`${modelName} is not in the cache.`, onlineHint);
  const { root, models } = findModels(files, modelName, place);
  // Settings are read from the model's folder and its parent folder.
  const folders = new Set(models.flatMap((path) => [posix.join(path, ".."), posix.join(path, "..", "..")]));
  const isSetting = (path: string): boolean => folders.has(posix.dirname(path)) && isSidecarFile(posix.basename(path));
  const queue = [...files.values()].filter(({ path }) => isSetting(path) || models.includes(path));

  let [done, received] = [0, 0];
  terminal.showEvent({ kind: "stage", name: `download ${name}, MB` });
  for (const file of queue) {
    const total = queue.reduce((sum, { size }) => sum + size, 0);
    const path = join(snapshot, file.path);
    received += await downloadFile(file, modelName, { cache, path }, signal, {
      request: () => library.downloadFile({ ...repository, path: file.path, xet: false }),
      progress: (length) =>
        terminal.showEvent({ kind: "progress", done: Math.ceil((done + length) / 1e6), total: Math.ceil(total / 1e6) }),
    });
    done += file.size;
    if (!models.includes(file.path)) continue;
    const locations = await findExternalFiles(path);
    const dataFiles = locations.flatMap((location) => files.get(posix.join(file.path, "..", location)) ?? []);
    queue.push(...dataFiles.filter((dataFile) => !queue.includes(dataFile)));
  }
  if (revision !== sha && !isOffline()) {
    await fs.mkdir(dirname(reference), { recursive: true });
    await fs.writeFile(reference, sha);
  }
  terminal.close();
  if (received > 0) terminal.note("hub", `${modelName}: downloaded ${bytes(received)} to ${snapshot}`);
  return join(snapshot, root);
}

const isOffline = (): boolean => /^(1|on|yes|true)$/i.test(process.env.HF_HUB_OFFLINE ?? "");
const onlineHint = { hint: "Run the same command without HF_HUB_OFFLINE: it downloads what the cache lacks." };

/** Lists the files of a revision in the cache. A link leads to a file whose name is its hash. */
async function* listSnapshot(folder: string): AsyncIterable<HubFile> {
  const entries = fs.readdir(folder, { recursive: true, withFileTypes: true }).catch(valueIfMissing(folder, []));
  for (const entry of await entries) {
    const path = join(entry.parentPath, entry.name);
    const target = await fs.realpath(path).catch(() => undefined);
    if (entry.isDirectory() || target === undefined) continue;
    const oid = hash.exec(basename(target))?.[0] ?? "";
    const fileEntry = { path: relative(folder, path).split(sep).join("/"), size: await sizeOf(path), oid };
    yield { type: "file", ...fileEntry, ...(oid.length === 64 ? { lfs: fileEntry } : {}) };
  }
}

async function loadLibrary(): Promise<HubLibrary> {
  try {
    return await import(import.meta.resolve("@huggingface/hub"));
  } catch (cause) {
    const reason = errorMessage(cause);
    const state = reason.includes("'@huggingface/hub'")
      ? "is not installed"
      : `cannot be loaded: ${stripPeriod(reason)}`;
    const text = `A model of the Hub needs @huggingface/hub, which ${state}.`;
    throw new PithError("E_ENGINE_MISSING", text, { hint: "npm install @huggingface/hub", cause });
  }
}

async function readToken(): Promise<string> {
  const { HF_TOKEN, HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  const path = HF_TOKEN_PATH || join(home, "token");
  return (HF_TOKEN || (await fs.readFile(path, "utf8").catch(valueIfMissing(path, "")))).trim();
}

/** Returns a handler for `catch`: a missing path has the value. @throws PithError E_FILE for another failure. */
const valueIfMissing =
  <T>(path: string, value: T) =>
  (cause: NodeJS.ErrnoException): T => {
    if (cause.code === "ENOENT") return value;
    throw asFileError(`"${path}" cannot be read`, cause);
  };

/** Returns a `fetch` that sends the user's token to the Hub only, and not to servers of files. */
async function createFetch(word: string, hubUrl: string, page: string, signal: AbortSignal): Promise<typeof fetch> {
  if (!URL.canParse(hubUrl)) throw usageError(`HF_ENDPOINT is not an address: "${hubUrl}".`);
  const { origin, host } = new URL(hubUrl);
  const token = await readToken();
  return async (input, init) => {
    const headers = new Headers(init?.headers);
    if (token !== "" && new URL(String(input)).origin === origin) headers.set("authorization", `Bearer ${token}`);
    const response = await fetch(input, { ...init, headers, signal }).catch((cause) => {
      throwIfAborted(signal);
      const reason = stripPeriod(errorMessage(cause.cause ?? cause));
      const hint = "Check the connection, or set HF_HUB_OFFLINE=1 for a model that was downloaded before.";
      throw fileError(`${word}: ${host} cannot be reached: ${reason}.`, { hint, cause });
    });
    const { ok, status } = response;
    if (ok) return response;
    if (status === 401 || status === 403)
      throw fileError(`${word}: ${host} denies access (${status}).`, {
        hint: `The model is gated or private, or its name is wrong. Accept the license on ${page}, and run hf auth login, or set HF_TOKEN to a token of your account.`,
      });
    if (status === 404) throw fileError(`${word}: ${host} has no such model or revision.`, { hint: `See ${page}` });
    throw fileError(`${word}: ${host} responds with status ${status}.`, {
      hint: "Try again later: the download continues where it stopped.",
    });
  };
}

/** Returns whether an entry is a file with a hash, and its path stays in the folder. */
function isSafe({ type, path, oid = "", lfs }: HubFile): boolean {
  return (
    type === "file" && hash.test(lfs?.oid ?? oid) && path.split("/").every((name) => !/^\.{0,2}$|[\\:\0]/.test(name))
  );
}

/** Returns the original models, and the folder or file (`root`) that stands for them. @throws PithError E_FILE for none, or several choices. */
function findModels(
  files: ReadonlyMap<string, unknown>,
  word: string,
  place: string,
): { readonly root: string; readonly models: readonly string[] } {
  if (files.has(place)) return { root: place, models: [place] };
  const root = posix.normalize(place || ".");
  const listModels = (folder: string): string[] => {
    const names = [...files.keys()]
      .filter((path) => posix.dirname(path) === folder)
      .map((path) => posix.basename(path));
    return usedBases(basesIn(names)).map((base) => posix.join(folder, `${base}.onnx`));
  };
  const nestedModels = listModels(posix.join(root, "onnx"));
  const main = posix.join(root, "model.onnx");
  if (nestedModels.length > 0) return { root, models: nestedModels };
  if (files.has(main)) return { root, models: [main] };
  const isInside = (path: string): boolean => root === "." || path.startsWith(`${root}/`);
  const paths = [...files.keys()].filter((path) => path.endsWith(".onnx") && isInside(path));
  const [only] = paths;
  if (only !== undefined && paths.length === 1) return { root: only, models: [only] };
  if (only === undefined) throw fileError(`${word} has no ONNX model.`);
  throw fileError(`${word} has several models: ${truncateList(paths)}.`, {
    hint: `Name one of them: ${word.slice(0, word.length - place.length).replace(/\/$/, "")}/${only}`,
  });
}

/** Downloads a file, unless the cache has it. Returns the number of bytes that were received. */
async function downloadFile(
  file: HubFile,
  word: string,
  { cache, path }: { readonly cache: string; readonly path: string },
  signal: AbortSignal,
  transfer: { request(): Promise<HubContent | null>; progress(length: number): void },
): Promise<number> {
  if (await isIntact(path, file, cache)) return 0;
  const { path: name, size } = file;
  if (isOffline()) throw fileError(`${word}: ${name} in the cache does not have its hash.`, onlineHint);
  const blob = join(cache, "blobs", hashOf(file));
  const partial = `${blob}.incomplete`;
  for (const place of [blob, path]) await fs.mkdir(dirname(place), { recursive: true });
  let receivedBytes = 0;
  if (!(await isIntact(blob, file, cache))) {
    let length = await sizeOf(partial);
    while (length < size) {
      const start = length;
      let reason = "the connection was closed";
      const handle = await fs.open(partial, "a");
      try {
        const content = await transfer.request();
        for await (const chunk of content?.slice(start, size).stream() ?? []) {
          await handle.appendFile(chunk);
          length += chunk.length;
          transfer.progress(length);
          if (length > size) break;
        }
      } catch (error) {
        throwIfAborted(signal, `The download of ${word} was stopped; the same command continues it.`);
        if (error instanceof PithError) throw error;
        reason = stripPeriod(errorMessage(error)).replace(`${word}: `, "");
      } finally {
        await handle.close();
      }
      receivedBytes += length - start;
      // As long as each attempt brings something, the next one continues.
      if (length === start)
        throw fileError(`${word}: ${name} ends at byte ${length} of ${size}: ${reason}.`, {
          hint: "Run the same command again: it continues there.",
        });
    }
    if (!(await isIntact(partial, file, cache))) {
      await fs.rm(partial, { force: true });
      throw fileError(`${word}: ${name} does not have the listed hash ${hashOf(file)}.`, {
        hint: "Run the same command again: it downloads this file from its start.",
      });
    }
    await fs.rename(partial, blob);
  }
  await fs.rm(path, { force: true });
  // Windows can forbid links, so the file itself moves there.
  await fs.symlink(relative(dirname(path), blob), path).catch(() => fs.rename(blob, path));
  return receivedBytes;
}

const hashOf = ({ oid = "", lfs }: HubFile): string => lfs?.oid ?? oid;

/** Returns whether a file has its listed size and hash. The result is recorded with the time of the file's last change. */
async function isIntact(path: string, file: HubFile, cache: string): Promise<boolean> {
  const { size, mtimeMs } = (await fs.stat(path).catch(() => undefined)) ?? {};
  if (size !== file.size) return false;
  if (hashOf(file) === "") return true;
  const record = join(cache, ".pith", hashOf(file));
  if ((await fs.readFile(record, "utf8").catch(() => "")) === `${mtimeMs}`) return true;
  const digest = file.lfs === undefined ? createHash("sha1").update(`blob ${size}\0`) : createHash("sha256");
  for await (const chunk of createReadStream(path)) digest.update(chunk);
  if (digest.digest("hex") !== hashOf(file)) return false;
  // In a cache that cannot be written to, each command reads the file.
  await fs
    .mkdir(dirname(record), { recursive: true })
    .then(() => fs.writeFile(record, `${mtimeMs}`))
    .catch(() => {});
  return true;
}

async function sizeOf(path: string): Promise<number> {
  return (await fs.stat(path).catch(() => undefined))?.size ?? 0;
}

async function findExternalFiles(path: string): Promise<readonly string[]> {
  const locations = new Set<string>();
  const external = async (name: string) => {
    locations.add(name);
    return {
      name,
      size: Number.POSITIVE_INFINITY,
      read: async (start: number, end: number) => new Uint8Array(end - start),
    };
  };
  await open(path, { external });
  return [...locations];
}

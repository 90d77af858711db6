/**
 * Stores sessions in the origin's private file system, which stays on this machine: one folder per model, with a record and the files of its
 * candidates. Files are written before the record that lists them, so that an interrupted write loses no stored candidate.
 */
import type { LayerErrors } from "pith/evaluate";
import type {
  Candidate,
  DownloadRates,
  DownloadSizes,
  ModelView,
  SamplesRequest,
  SamplesView,
  Settings,
} from "../backend/backend.ts";
import { decode, encode } from "../plain.ts";

interface SessionData {
  /** The model's fingerprint, which is the name of the folder. */
  readonly key: string;
  /** Path or URL from which the model was opened. */
  readonly place: string;
  readonly model: ModelView;
  readonly samples: SamplesView | undefined;
  readonly samplesRequest: SamplesRequest | undefined;
  readonly settings: Settings;
  readonly maxDrop: number;
  readonly selectedId: string | undefined;
  /** The candidate that the user chose. */
  readonly takenId?: string | undefined;
  readonly replacedIds?: readonly string[];
  readonly downloads: Readonly<Record<string, DownloadSizes>>;
  readonly layerErrors: Readonly<Record<string, LayerErrors>>;
  /** Estimates of candidates that are not made yet. */
  readonly downloadRates?: DownloadRates | undefined;
  readonly smallestDownload?: number | undefined;
}

/** A model with its candidates, and what the page needs to show them. */
export interface Session extends SessionData {
  readonly candidates: readonly Candidate[];
}

type CandidateRecord = Omit<Candidate, "file">;

export interface SessionRecord extends SessionData {
  readonly format: typeof recordFormat;
  /** ISO 8601. */
  readonly savedAt: string;
  readonly candidates: readonly CandidateRecord[];
}

/** Version of the record. A page ignores records of other versions. */
const recordFormat = 2;
const recordName = "session.json";
const fileNameOf = ({ sha256 }: CandidateRecord): string => `${sha256}.onnx`;

/** Runs one piece of work at a time in all tabs of the origin. */
const exclusively = async <T>(work: (folder: FileSystemDirectoryHandle) => Promise<T>): Promise<T> =>
  navigator.locks.request("pith-studio", async () => {
    const root = await navigator.storage.getDirectory();
    // Other pages of the origin can have files, too.
    return work(await root.getDirectoryHandle("pith-studio", { create: true }));
  });

export const saveSession = ({ candidates, ...data }: Session): Promise<void> =>
  exclusively(async (root) => {
    const folder = await root.getDirectoryHandle(data.key, { create: true });
    const sizes = await sizesOf(folder);
    for (const candidate of candidates) {
      const name = fileNameOf(candidate);
      if (sizes.get(name) !== candidate.file.size) await writeFile(folder, name, candidate.file);
    }
    const records = candidates.map(({ file: _, ...record }): CandidateRecord => record);
    const ids = new Set(records.map(({ id }) => id));
    // Another tab can have made other candidates of the same model.
    const isKept = (stored: CandidateRecord): boolean =>
      !ids.has(stored.id) && !(data.replacedIds ?? []).includes(stored.id);
    const storedRecords = (await readRecord(folder))?.candidates.filter(isKept) ?? [];
    const record: SessionRecord = {
      ...data,
      format: recordFormat,
      savedAt: new Date().toISOString(),
      candidates: [...storedRecords, ...records],
    };
    await writeFile(folder, recordName, encode(record));
    const usedNames = new Set([recordName, ...record.candidates.map(fileNameOf)]);
    for (const name of sizes.keys()) if (!usedNames.has(name)) await folder.removeEntry(name);
  });

/** Returns the stored sessions, the latest first. */
export const listSessions = (): Promise<readonly SessionRecord[]> =>
  exclusively(async (root) => {
    const records: SessionRecord[] = [];
    for await (const [name, folder] of root.entries()) {
      if (folder.kind !== "directory") continue;
      const record = await readRecord(folder);
      if (record !== undefined) records.push(record);
      // The first write was interrupted, so that no candidate can be read.
      else if (!(await sizesOf(folder)).get(recordName)) await root.removeEntry(name, { recursive: true });
    }
    return records.toSorted((a, b) => b.savedAt.localeCompare(a.savedAt));
  });

/** Returns a stored session, without the candidates whose files are missing; undefined if the model has none. */
export const loadSession = (key: string): Promise<Session | undefined> =>
  exclusively(async (root) => {
    const folder = await root.getDirectoryHandle(key).catch(() => undefined);
    const record = folder && (await readRecord(folder));
    if (folder === undefined || record === undefined) return undefined;
    const candidates = await Promise.all(
      record.candidates.map(async (candidate) => {
        const handle = await folder.getFileHandle(fileNameOf(candidate)).catch(() => undefined);
        return handle === undefined ? [] : [{ ...candidate, file: await handle.getFile() }];
      }),
    );
    return { ...record, candidates: candidates.flat() };
  });

export const removeSession = (key: string): Promise<void> =>
  exclusively(async (root) => {
    // Another tab can have removed it.
    for await (const name of root.keys()) if (name === key) await root.removeEntry(name, { recursive: true });
  });

async function readRecord(folder: FileSystemDirectoryHandle): Promise<SessionRecord | undefined> {
  const handle = await folder.getFileHandle(recordName).catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const record = decode(await (await handle.getFile()).text()) as SessionRecord;
    return record.format === recordFormat ? record : undefined;
  } catch (error) {
    // The file is empty if its first write was interrupted.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Writes a temporary file, which replaces the previous one when it is complete. */
async function writeFile(folder: FileSystemDirectoryHandle, name: string, content: Blob | string): Promise<void> {
  const handle = await folder.getFileHandle(name, { create: true });
  const stream = await handle.createWritable();
  try {
    await stream.write(content);
    await stream.close();
  } catch (error) {
    await stream.abort().catch(() => {});
    throw error;
  }
}

async function sizesOf(folder: FileSystemDirectoryHandle): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  for await (const [name, handle] of folder.entries())
    if (handle.kind === "file") sizes.set(name, (await handle.getFile()).size);
  return sizes;
}

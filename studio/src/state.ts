/** Holds the state of the page as signals, and the actions of the user. */
import { batch, computed, signal } from "@preact/signals";
import {
  type Backend,
  type Candidate,
  type ChosenFiles,
  Failure,
  type ModelView,
  type Progress,
  type SamplesView,
} from "./backend/backend.ts";
import { estimateSizes, measuredSizes } from "./settings/estimate.ts";
import { initialSettings, nameOf, recipeOf, type Settings } from "./settings/presets.ts";

export const viewNames = ["start", "model", "samples", "smaller", "compare", "take"] as const;
export type ViewName = (typeof viewNames)[number];

export interface Problem {
  readonly place: ViewName;
  readonly message: string;
  readonly code: string;
  readonly hint: string | undefined;
}

export interface Job extends Progress {
  readonly name: string;
  readonly place: ViewName;
  readonly startedAt: number;
  readonly controller: AbortController;
}

export const view = signal<ViewName>("start");
export const model = signal<ModelView | undefined>(undefined);
export const samples = signal<SamplesView | undefined>(undefined);
export const candidates = signal<readonly Candidate[]>([]);
/** Bytes after brotli by candidate id; the original's is under "". */
export const downloads = signal<Readonly<Record<string, number | "not measured">>>({});
export const selectedId = signal<string | undefined>(undefined);
export const settings = signal<Settings>(initialSettings("static"));
/** Largest accepted drop, in points. */
export const maxDrop = signal(1);
export const job = signal<Job | undefined>(undefined);
export const problem = signal<Problem | undefined>(undefined);

export const selected = computed(() => candidates.value.find(({ id }) => id === selectedId.value));
export const originalSizes = computed(() => model.value && measuredSizes(model.value.inspection));
export const estimatedSizes = computed(() => model.value && estimateSizes(model.value.inspection, settings.value));
export const currentId = computed(() => idOf(settings.value));
/** The candidate of the current settings, if it was made. */
export const current = computed(() => candidates.value.find(({ id }) => id === currentId.value));

const idOf = (chosen: Settings): string => `${nameOf(chosen)} · ${maxDrop.value}`;

let backend: Backend | undefined;
export const useBackend = (chosen: Backend): void => {
  backend = chosen;
};
export const backendOf = (): Backend => {
  if (backend === undefined) throw new Error("The page has no backend.");
  return backend;
};

export function show(name: ViewName): void {
  location.hash = name;
}

/** Runs work that the page waits for. Shows its progress, and its failure in the view where it happened. */
async function runJob(
  name: string,
  place: ViewName,
  work: (options: { signal: AbortSignal; onProgress: (progress: Progress) => void }) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  batch(() => {
    problem.value = undefined;
    job.value = { name, place, startedAt: performance.now(), controller };
  });
  const onProgress = (progress: Progress): void => {
    const before = job.value;
    if (before?.controller !== controller) return;
    const isNextStage = progress.stage !== undefined && progress.stage !== before.stage;
    job.value = { ...before, ...(isNextStage ? { done: 0, total: undefined } : {}), ...progress };
  };
  try {
    await work({ signal: controller.signal, onProgress });
  } catch (error) {
    const failure = error instanceof Failure ? error : new Failure(`internal: ${error}`, "internal", undefined);
    if (failure.code !== "E_STOPPED")
      problem.value = { place, message: failure.message, code: failure.code, hint: failure.hint };
  } finally {
    if (job.value?.controller === controller) job.value = undefined;
  }
}

export const cancel = (): void => job.value?.controller.abort();

/** Opens the ONNX file among the chosen files. */
export function openModel(files: ChosenFiles): Promise<void> {
  const paths = files.map(([path]) => path).filter((path) => path.endsWith(".onnx"));
  const [path = files[0]?.[0] ?? ""] = paths;
  return runJob(path, "start", async ({ signal, onProgress }) => {
    await backendOf().call("addFiles", [files]);
    await openPlace(path, { signal, onProgress });
  });
}

export const openUrl = (address: string): Promise<void> =>
  runJob(address, "start", (options) => openPlace(address, options));

async function openPlace(
  place: string,
  options: { signal: AbortSignal; onProgress: (progress: Progress) => void },
): Promise<void> {
  const opened = await backendOf().call("openModel", [place], options);
  batch(() => {
    model.value = opened;
    samples.value = undefined;
    candidates.value = [];
    downloads.value = {};
    selectedId.value = undefined;
  });
  show("model");
  measureDownload("", undefined);
}

/** Opens samples from the chosen files, or again with another preprocessing. */
export function openSamples(files: ChosenFiles, data: string, preprocess?: string): Promise<void> {
  return runJob(data, "samples", async (options) => {
    if (files.length > 0) await backendOf().call("addFiles", [files]);
    samples.value = await backendOf().call("openSamples", [{ data, preprocess }], options);
  });
}

/** Makes the candidate of the current settings. */
export function make(): Promise<void> {
  const chosen = settings.value;
  const id = idOf(chosen);
  return runJob(nameOf(chosen), "smaller", async (options) => {
    const request = { id, name: nameOf(chosen), made: recipeOf(chosen), maxDrop: maxDrop.value / 100 };
    const candidate = await backendOf().call("make", [request], options);
    batch(() => {
      candidates.value = [...candidates.value.filter((each) => each.id !== id), candidate];
      selectedId.value = id;
    });
    measureDownload(id, candidate.file);
  });
}

async function measureDownload(id: string, file: Blob | undefined): Promise<void> {
  const size = await backendOf()
    .call("brotli", [file])
    .catch(() => undefined);
  downloads.value = { ...downloads.value, [id]: size ?? "not measured" };
}

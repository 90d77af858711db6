/** Holds the state of the page as signals, and the actions of the user. */
import { batch, computed, effect, signal } from "@preact/signals";
import type { LayerErrors } from "pith/evaluate";
import {
  type Backend,
  type CallOptions,
  type Candidate,
  type ChosenFiles,
  type DownloadRates,
  type DownloadSizes,
  Failure,
  type ModelView,
  type PresetId,
  type Progress,
  type SamplesRequest,
  type SamplesView,
  type Settings,
  type Subject,
} from "./backend/backend.ts";
import { integerText } from "./format.ts";
import { estimateDownload, estimateSizes, estimateSmallest, measuredSizes } from "./settings/estimate.ts";
import { accuracyMetric, goalUnit, lossOf, usualGoal } from "./settings/goal.ts";
import { initialSettings, nameOf, recipeOf } from "./settings/presets.ts";
import { choiceOf, fingerprintOf } from "./storage/fingerprint.ts";
import { loadSession, type Session } from "./storage/sessions.ts";
import { RunClock, type StageSeconds } from "./time-left.ts";

export const viewNames = ["start", "result", "model", "samples", "smaller", "compare", "take"] as const;
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
  readonly stageStartedAt?: number;
  readonly controller: AbortController;
  readonly isCanceled: boolean;
  /** Losses of the training steps of this stage. */
  readonly losses: readonly number[];
  /** Settings of the candidate that is being made, and its time; undefined for other work. */
  readonly settings?: Settings | undefined;
  readonly clock?: RunClock | undefined;
}

export const view = signal<ViewName>("start");
export const model = signal<ModelView | undefined>(undefined);
export const samples = signal<SamplesView | undefined>(undefined);
export const candidates = signal<readonly Candidate[]>([]);
/** Sizes after compression by candidate id; the original's are under "". */
export const downloads = signal<Readonly<Record<string, DownloadSizes>>>({});
export const selectedId = signal<string | undefined>(undefined);
/** Errors by layer by candidate id, or why they were not measured. */
export const layerErrors = signal<Readonly<Record<string, LayerErrors | string>>>({});
/** Speeds on WebGPU as text, or why they were not measured, by candidate id. */
export const gpuSpeeds = signal<Readonly<Record<string, string>>>({});
/** The model's fingerprint, and the path or URL from which it was opened. */
export const modelSource = signal<{ readonly key: string; readonly place: string } | undefined>(undefined);
/** Place of the samples that were opened last, or could not be opened. */
export const triedData = signal<string | undefined>(undefined);
export const samplesRequest = signal<SamplesRequest | undefined>(undefined);
/** The files among which the model was chosen; empty for a stored session, a URL, and a path of the server. */
export const chosenFiles = signal<ChosenFiles>([]);
/** Whether the backend has the files. It has none when a stored session is continued. */
export const openFiles = signal<{ readonly model: boolean; readonly samples: boolean }>({
  model: false,
  samples: false,
});
export const settings = signal<Settings>(initialSettings("static"));
/** Largest accepted loss, as `settings/goal.ts` shows it. */
export const maxDrop = signal(1);
/** Whether sizes are those that visitors download (after brotli), or those on disk. */
export const sizeKind = signal<"download" | "disk">("download");
export const job = signal<Job | undefined>(undefined);
export const problem = signal<Problem | undefined>(undefined);

/** Bits of a weight after compression, of formats that the model can be stored in; undefined until they are known. */
const downloadRates = signal<DownloadRates | undefined>(undefined);

/** Bytes after brotli of the preset "smallest download" at its initial settings, with the samples that gave them. */
const smallestDownload = signal<{ readonly request: SamplesRequest; readonly bytes: number } | undefined>(undefined);

/** The candidate that is shown beside the settings; undefined for the original. */
export const besideId = signal<string | undefined>(undefined);
export const besideCandidate = computed(() => candidates.value.find(({ id }) => id === besideId.value));

export const selected = computed(() => candidates.value.find(({ id }) => id === selectedId.value));
/** Returns the bytes of a candidate, or of the original (""), as the page shows them; undefined while a download is not measured. */
export const shownBytes = (id: string, bytes: number): number | undefined =>
  sizeKind.value === "disk" ? bytes : downloads.value[id]?.brotli;
/** Whether a candidate is kept, or its measured change is within the goal and only its interval is not. */
function isWithinGoal({ run, summary }: Candidate): boolean {
  const { difference } = run?.variants[run.chosen ?? 0]?.comparison ?? {};
  if (summary.mood !== "doubt" || run?.goal === undefined || difference === undefined) return summary.mood === "good";
  return (run.metric.better === "higher" ? -1 : 1) * difference.value <= run.goal.maxDrop;
}
/** The candidate with the smallest shown size among those within the goal; if there is none, among those that are not rejected. */
export const best = computed(() => {
  const sizeOf = ({ id, inspection }: Candidate): number => shownBytes(id, inspection.bytes) ?? inspection.bytes;
  const sorted = candidates.value.toSorted((a, b) => sizeOf(a) - sizeOf(b));
  return sorted.find(isWithinGoal) ?? sorted.find(({ summary }) => summary.mood !== "bad");
});
/** Id of the candidate that the user takes; undefined for the best one. */
export const takenId = signal<string | undefined>(undefined);
export const takenCandidate = computed(
  () => candidates.value.find(({ id }) => id === takenId.value) ?? best.value ?? candidates.value.at(-1),
);
export const originalSizes = computed(() => model.value && measuredSizes(model.value.inspection));
export const estimatedSizes = computed(
  () => model.value && estimateSizes(downloadRates.value?.simplified ?? model.value.inspection, settings.value),
);
/** Returns the estimated bytes of settings as the page shows them; undefined if they cannot be known. */
export function estimatedBytes(chosen: Settings): number | undefined {
  const inspection = model.value?.inspection;
  if (inspection === undefined) return undefined;
  const { value: rates } = downloadRates;
  const { value: smallest } = smallestDownload;
  if (chosen.preset === "download" && sizeKind.value === "download" && chosen.isFast !== true)
    return smallest && smallest.request === samplesRequest.value ? estimateSmallest(chosen, smallest.bytes) : undefined;
  if (sizeKind.value === "disk") return estimateSizes(rates?.simplified ?? inspection, chosen)?.total;
  return rates && estimateDownload(inspection, chosen, rates, downloads.value[""]?.brotli);
}
const currentId = computed(() => idOf(settings.value));
/** The metric that the goal limits. */
export const goalMetric = computed(() => samples.value?.metric ?? accuracyMetric);
/** Names the files that the user must choose again before something can run. */
export const missingFiles = computed(() => {
  if (model.value === undefined) return undefined;
  if (!openFiles.value.model) return "model";
  return samples.value !== undefined && !openFiles.value.samples ? "samples" : undefined;
});
export const subject = computed<Subject>(() => ({
  model: modelSource.value?.place ?? "",
  samples: openFiles.value.samples ? samplesRequest.value : undefined,
}));
/** The candidate of the current settings, if it was made. */
export const current = computed(() => candidates.value.find(({ id }) => id === currentId.value));

/** Names a candidate by its settings, the goal and the samples, so that it can be made again on other samples. */
function idOf(chosen: Settings): string {
  const { name, preset } = samples.value ?? {};
  return [nameOf(chosen), maxDrop.value, name, preset, samplesRequest.value?.samples, samplesRequest.value?.choice]
    .filter((part) => part !== undefined)
    .join(" · ");
}

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

/** Whether results would be lost with the page: its candidates are not stored, or one is being made. */
export const wouldLose = (areStored: boolean): boolean => isMaking.value || (!areStored && candidates.value.length > 0);

/** Runs work that the page waits for. Shows its progress, and its failure in the view where it happened. @returns whether it succeeded. */
export async function runJob(
  name: string,
  place: ViewName,
  work: (options: CallOptions) => Promise<void>,
  making: Pick<Job, "settings" | "clock"> = {},
): Promise<boolean> {
  const controller = new AbortController();
  // The page shows a single job. An earlier one that continues could not be canceled.
  cancel();
  batch(() => {
    // A failure in the queue stays visible while the next candidate is made. Other work replaces the queue.
    if (making.settings === undefined) {
      problem.value = undefined;
      queue.value = [];
    }
    job.value = { name, place, startedAt: performance.now(), controller, isCanceled: false, losses: [], ...making };
  });
  const onProgress = (progress: Progress): void => {
    const before = job.value;
    if (before?.controller !== controller) return;
    before.clock?.add(progress, performance.now() / 1000);
    const isNextStage = progress.stage !== undefined && progress.stage !== before.stage;
    const isContinued = !isNextStage && (progress.total ?? before.total) === before.total;
    const losses = [...(isContinued ? before.losses : []), ...(progress.loss === undefined ? [] : [progress.loss])];
    job.value = {
      ...before,
      ...(isNextStage ? { done: 0, total: undefined, stageStartedAt: performance.now() } : {}),
      ...progress,
      losses,
    };
  };
  try {
    await work({ signal: controller.signal, onProgress });
    return true;
  } catch (error) {
    showProblem(place, error);
    return false;
  } finally {
    if (job.value?.controller === controller) job.value = undefined;
  }
}

export function showProblem(place: ViewName, error: unknown): void {
  const failure = error instanceof Failure ? error : new Failure(`internal: ${error}`, "internal", undefined);
  if (failure.code !== "E_STOPPED")
    problem.value = { place, message: failure.message, code: failure.code, hint: failure.hint };
}

export function cancel(): void {
  if (job.value === undefined) return;
  job.value.controller.abort();
  job.value = { ...job.value, isCanceled: true };
}

/** Opens the ONNX file among the chosen files. */
export async function openModel(files: ChosenFiles): Promise<boolean> {
  const path = onnxPathOf(files);
  if (isModelAmong(files, "start")) return runJob(path, "start", (options) => openModelFrom(path, files, options));
  return false;
}

/** Returns whether a chosen folder holds a model. Otherwise shows a problem, and nothing is read or copied. */
function isModelAmong(files: ChosenFiles, place: ViewName): boolean {
  const isFile = files.length === 1 && files[0]?.[0].includes("/") === false;
  if (isFile || files.length === 0 || files.some(([path]) => path.endsWith(".onnx"))) return true;
  const names = files.slice(0, 3).map(([path]) => path.split("/").at(-1));
  const message = `The ${integerText(files.length)} chosen files have no model (.onnx): ${names.join(", ")}${files.length > names.length ? ", …" : ""}.`;
  const hint = "Choose the folder with the .onnx file. Samples are chosen in the next step.";
  cancel();
  showProblem(place, new Failure(message, "E_NOT_ONNX", hint));
  return false;
}

/** In a folder of several models, such as one of transformers.js, `model.onnx` is the main one. */
function onnxPathOf(files: ChosenFiles): string {
  const paths = files.map(([path]) => path).filter((path) => path.endsWith(".onnx"));
  const main = paths.find((path) => /(^|\/)(model|decoder_model_merged)\.onnx$/.test(path));
  return main ?? paths[0] ?? files[0]?.[0] ?? "";
}

/** Opens another model of the chosen folder. */
export const openOther = (path: string): Promise<boolean> =>
  runJob(path, "model", (options) => openModelFrom(path, chosenFiles.value, options));

/** Opens a model by its URL, or by its path on the computer of the server. */
export const openPlace = (place: string): Promise<boolean> =>
  runJob(place, "start", (options) => openModelFrom(place, [], options));

/** Opens a model with its samples. @param name folder of the files. @param data name of the samples in the folder. */
export async function openExampleFiles(
  name: string,
  data: string,
  fetchFiles: () => Promise<ChosenFiles>,
): Promise<void> {
  const open = async (options: CallOptions) => openModelFrom(`${name}/${name}.onnx`, await fetchFiles(), options);
  if (await runJob(name, "start", open)) await openSamples([], `${name}/${data}`);
}

/** Opens a model. Its stored candidates are shown again. */
async function openModelFrom(place: string, files: ChosenFiles, options: CallOptions): Promise<void> {
  const { opened, key } = await openInBackend(place, files, options);
  const stored = await loadSession(key).catch(() => undefined);
  if (options.signal?.aborted === true) throw new Failure("Canceled.", "E_STOPPED", undefined);
  batch(() => {
    showSession(stored ?? { ...emptySession, key, place, model: opened });
    modelSource.value = { key, place };
    chosenFiles.value = files;
    openFiles.value = { model: true, samples: false };
  });
  show("model");
  measureDownloads();
}

async function openInBackend(
  place: string,
  files: ChosenFiles,
  options: CallOptions,
): Promise<{ readonly opened: ModelView; readonly key: string }> {
  if (files.length > 0) await backendOf().call("addFiles", [files], options);
  const opened = await backendOf().call("openModel", [place], options);
  options.onProgress?.({ stage: "compare with stored models" });
  return { opened, key: await fingerprintOf(place, files, opened.inspection.bytes) };
}

const emptySession = {
  samples: undefined,
  samplesRequest: undefined,
  settings: initialSettings("static"),
  maxDrop: 1,
  selectedId: undefined,
  downloads: {},
  layerErrors: {},
  candidates: [],
};

/** Shows the candidates and views of a session, which needs no file of the model. */
export function showSession(session: Session): void {
  batch(() => {
    modelSource.value = { key: session.key, place: session.place };
    model.value = session.model;
    samples.value = session.samples;
    samplesRequest.value = session.samplesRequest;
    settings.value = session.settings;
    maxDrop.value = session.maxDrop;
    selectedId.value = session.selectedId;
    downloads.value = session.downloads;
    layerErrors.value = session.layerErrors;
    gpuSpeeds.value = {};
    candidates.value = session.candidates;
    chosenFiles.value = [];
    besideId.value = undefined;
    takenId.value = undefined;
    queue.value = [];
    downloadRates.value = undefined;
    openFiles.value = { model: false, samples: false };
  });
}

export function closeModel(): void {
  cancel();
  batch(() => {
    openFiles.value = { model: false, samples: false };
    samplesRequest.value = undefined;
    model.value = undefined;
    samples.value = undefined;
    modelSource.value = undefined;
    candidates.value = [];
    queue.value = [];
  });
}

export function closeSamples(): void {
  batch(() => {
    samples.value = undefined;
    samplesRequest.value = undefined;
  });
}

/** Gives the file of the shown model to the backend again. @throws Failure if the file has another content. */
export function reopenModel(files: ChosenFiles, place: ViewName): Promise<boolean> {
  const source = modelSource.value;
  const path = files.length === 0 ? (source?.place ?? "") : onnxPathOf(files);
  if (!isModelAmong(files, place)) return Promise.resolve(false);
  return runJob(path, place, async (options) => {
    const { opened, key } = await openInBackend(path, files, options);
    if (key !== source?.key)
      throw new Failure(
        `${path}: this is not the model of these candidates: expected ${model.value?.name} with ${integerText(model.value?.inspection.bytes ?? 0)} bytes and fingerprint ${source?.key.slice(0, 8)}, got ${integerText(opened.inspection.bytes)} bytes and fingerprint ${key.slice(0, 8)}.`,
        "E_SOURCE_CHANGED",
        "Choose the file from which the candidates were made. To work on the other file, open it on the start view.",
      );
    modelSource.value = { key, place: path };
    chosenFiles.value = files;
    openFiles.value = { model: true, samples: false };
  });
}

/** Opens samples from the chosen files, or again with another preprocessing. */
export function openSamples(
  files: ChosenFiles,
  data: string,
  preprocess?: string,
  place: ViewName = "samples",
  count?: number,
): Promise<boolean> {
  triedData.value = data;
  return runJob(data, place, async (options) => {
    if (files.length > 0) await backendOf().call("addFiles", [files], options);
    const before = samplesRequest.value;
    const isSame = files.length === 0 && before?.data === data;
    const choice = files.length > 0 ? await choiceOf(files) : isSame ? before.choice : undefined;
    const request = { data, preprocess, samples: count ?? (isSame ? before.samples : undefined), choice };
    const opened = await backendOf().call("openSamples", [subject.value.model, request], options);
    batch(() => {
      if (goalUnit(opened.metric) !== goalUnit(goalMetric.value))
        maxDrop.value = usualGoal(opened.metric, opened.original?.value ?? 0);
      samples.value = opened;
      samplesRequest.value = request;
      openFiles.value = { model: true, samples: true };
    });
  });
}

/** Returns the settings of a technique: the chosen ones, or those of its last candidate, or the initial ones. */
export function settingsOf(id: PresetId): Settings {
  const candidate = candidates.value.findLast((each) => each.settings?.preset === id);
  const [dtype] = model.value?.dtypes ?? [];
  if (settings.value.preset === id) return settings.value;
  return candidate?.settings ?? { ...initialSettings(id), ...(id === "dtype" && dtype !== undefined ? { dtype } : {}) };
}

/** Settings that wait for the running candidate. */
export const queue = signal<readonly Settings[]>([]);
/** Whether a candidate is being made. */
export const isMaking = computed(() => job.value?.settings !== undefined);

/** Makes the candidate of the current settings, after those that wait. */
export async function make(): Promise<void> {
  queue.value = [...queue.value, settings.value];
  if (isWorkingOff) return;
  isWorkingOff = true;
  problem.value = undefined;
  for (let [next] = queue.value; next !== undefined; [next] = queue.value) {
    queue.value = queue.value.slice(1);
    await makeNow(next);
  }
  isWorkingOff = false;
}

let isWorkingOff = false;

/** Seconds of the stages of earlier runs, with the model that they are of. */
let stageSeconds: { readonly key: string | undefined; readonly seconds: StageSeconds } = {
  key: undefined,
  seconds: new Map(),
};

/** Returns the clock of a run that begins now. */
export function startClock(chosen: Settings): RunClock {
  const earlier = stageSeconds.key === modelSource.value?.key ? stageSeconds.seconds : new Map();
  return new RunClock(chosen, samples.value !== undefined, performance.now() / 1000, earlier);
}

async function makeNow(chosen: Settings): Promise<void> {
  const id = idOf(chosen);
  const key = modelSource.value?.key;
  const clock = startClock(chosen);
  const work = async (options: CallOptions): Promise<void> => {
    const request = {
      id,
      name: nameOf(chosen),
      settings: chosen,
      made: recipeOf(chosen),
      maxDrop: lossOf(maxDrop.value, goalMetric.value),
    };
    const candidate = await backendOf().call("make", [subject.value, request], options);
    options.onProgress?.({ stage: "measure the download" });
    const sizes = await downloadSizesOf(candidate.file);
    batch(() => {
      candidates.value = [...candidates.value.filter((each) => each.id !== id), candidate];
      layerErrors.value = omit(layerErrors.value, id);
      downloads.value = { ...downloads.value, [id]: sizes };
      gpuSpeeds.value = omit(gpuSpeeds.value, id);
      selectedId.value = id;
      takenId.value = undefined;
    });
    stageSeconds = { key, seconds: clock.end(performance.now() / 1000) };
  };
  await runJob(nameOf(chosen), "smaller", work, { settings: chosen, clock });
}

export const measureOnGpu = ({ id, name, file }: Candidate): Promise<boolean> =>
  runJob(name, "compare", async (options) => {
    const speed = await backendOf().call("timeOnGpu", [subject.value, file], options);
    gpuSpeeds.value = { ...gpuSpeeds.value, [id]: speed };
  });

const downloadSizesOf = (file: Blob | string): Promise<DownloadSizes> =>
  backendOf()
    .call("downloadSizes", [file])
    .catch(() => ({ gzip: undefined, brotli: undefined }));

async function measureDownload(id: string, file: Blob | string): Promise<void> {
  const key = modelSource.value?.key;
  const sizes = await downloadSizesOf(file);
  // Another model can have been opened meanwhile, whose candidates have the same names.
  if (modelSource.value?.key === key) downloads.value = { ...downloads.value, [id]: sizes };
}

/** Measures the sizes that are missing, for example because the tab was closed while they were measured. */
function measureDownloads(): void {
  if (openFiles.value.model && isMissing("")) measureDownload("", subject.value.model);
  if (openFiles.value.model) void estimateRates();
  for (const { id, file } of candidates.value) if (isMissing(id)) measureDownload(id, file);
}

async function estimateRates(): Promise<void> {
  const { key, place = "" } = modelSource.value ?? {};
  const rates = await backendOf()
    .call("downloadRates", [place])
    .catch(() => undefined);
  if (modelSource.value?.key === key) downloadRates.value = rates;
}

const isMissing = (id: string): boolean => downloads.value[id]?.brotli === undefined;

/** Bytes of a model that is made smaller in the background in seconds. */
const maxBackgroundBytes = 2e6;

/** Estimates the smallest download while nothing is computed. */
export function estimateWhileIdle(): void {
  let isRunning = false;
  effect(() => {
    const { value: request } = samplesRequest;
    const isIdle = job.value === undefined && openFiles.value.samples && downloads.value[""]?.brotli !== undefined;
    const isSmall = (model.value?.inspection.bytes ?? Number.POSITIVE_INFINITY) <= maxBackgroundBytes;
    if (isRunning || !isIdle || !isSmall || request === undefined || smallestDownload.peek()?.request === request)
      return;
    isRunning = true;
    backendOf()
      .call("smallestDownload", [subject.peek()])
      .then(
        (bytes) => {
          if (bytes !== undefined) smallestDownload.value = { request, bytes };
        },
        // Another computation ended it. It begins again after that.
        () => {},
      )
      .finally(() => {
        isRunning = false;
      });
  });
}

/** Measures the error of each layer of a candidate. */
export async function measureLayers({ id, file }: Candidate): Promise<void> {
  const key = modelSource.value?.key;
  const errors = await backendOf()
    .call("layerErrors", [subject.value, file])
    .catch((error: Error) => error.message);
  if (modelSource.value?.key === key) layerErrors.value = { ...layerErrors.value, [id]: errors };
}

/** Returns a record without one of its keys. */
function omit<T>(record: Readonly<Record<string, T>>, key: string): Readonly<Record<string, T>> {
  const { [key]: _, ...remaining } = record;
  return remaining;
}

/** Holds the state of the page as signals. */
import { computed, signal } from "@preact/signals";
import type { LayerErrors } from "pith/evaluate";
import type {
  Candidate,
  ChosenFiles,
  DownloadSizes,
  ModelView,
  Progress,
  SamplesRequest,
  SamplesView,
  Settings,
  Subject,
} from "../backend/backend.ts";
import { accuracyMetric } from "../settings/goal.ts";
import { initialSettings, nameOf } from "../settings/presets.ts";
import type { RunClock } from "../time-left.ts";

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

/** Candidates that others replaced, which the storage forgets, too. */
export const replacedIds = signal<readonly string[]>([]);

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
/** The claim of a link to a result. */
export interface Claim {
  readonly sentence: string;
  readonly preprocess: string | undefined;
  /** Name and number of the test samples; undefined without samples. */
  readonly data: string | undefined;
  readonly samples: number | undefined;
}

/** The claim of the link by which the model was opened. */
export const claim = signal<Claim | undefined>(undefined);

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

/** The candidate with the smallest shown size among those that meet the goal; if there is none, by the estimate; if there is none, of all that are not rejected. */
export const best = computed(() => {
  const sizeOf = ({ id, inspection }: Candidate): number => shownBytes(id, inspection.bytes) ?? inspection.bytes;
  const sorted = candidates.value.toSorted((a, b) => sizeOf(a) - sizeOf(b));
  const isMet = ({ summary }: Candidate): boolean => summary.mood === "good";
  return sorted.find(isMet) ?? sorted.find(isWithinGoal) ?? sorted.find(({ summary }) => summary.mood !== "bad");
});

/** Id of the candidate that the user chose; undefined for the best one. */
export const takenId = signal<string | undefined>(undefined);

/** Shows a candidate on all pages. */
export function choose(id: string): void {
  selectedId.value = id;
  takenId.value = id;
}

export const takenCandidate = computed(
  () => candidates.value.find(({ id }) => id === takenId.value) ?? best.value ?? candidates.value.at(-1),
);

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
export function idOf(chosen: Settings): string {
  const { name, preset } = samples.value ?? {};
  return [nameOf(chosen), maxDrop.value, name, preset, samplesRequest.value?.samples, samplesRequest.value?.choice]
    .filter((part) => part !== undefined)
    .join(" · ");
}

export function show(name: ViewName): void {
  location.hash = name;
}

/** Whether results would be lost with the page: its candidates are not stored, or one is being made. */
export const wouldLose = (areStored: boolean): boolean => isMaking.value || (!areStored && candidates.value.length > 0);

/** Settings that wait for the running candidate. */
export const queue = signal<readonly Settings[]>([]);

/** Whether a candidate is being made. */
export const isMaking = computed(() => job.value?.settings !== undefined);

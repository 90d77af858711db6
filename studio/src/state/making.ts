/** Makes candidates one after the other, and measures them on request. */
import { batch } from "@preact/signals";
import type { CallOptions, Candidate, PresetId, Settings } from "../backend/backend.ts";
import { lossOf } from "../settings/goal.ts";
import { initialSettings, nameOf, recipeOf } from "../settings/presets.ts";
import { RunClock, type StageSeconds } from "../time-left.ts";
import { backendOf, runJob } from "./jobs.ts";
import { openSamples } from "./opening.ts";
import {
  candidates,
  downloads,
  goalMetric,
  gpuSpeeds,
  idOf,
  layerErrors,
  maxDrop,
  model,
  modelSource,
  problem,
  queue,
  replacedIds,
  samples,
  samplesRequest,
  selectedId,
  settings,
  show,
  subject,
  takenId,
} from "./signals.ts";
import { downloadSizesOf } from "./sizes.ts";

/** Returns the settings of a technique: the chosen ones, or those of its last candidate, or the initial ones. */
export function settingsOf(id: PresetId): Settings {
  const candidate = candidates.value.findLast((each) => each.settings?.preset === id);
  const [dtype] = model.value?.dtypes ?? [];
  if (settings.value.preset === id) return settings.value;
  return candidate?.settings ?? { ...initialSettings(id), ...(id === "dtype" && dtype !== undefined ? { dtype } : {}) };
}

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

/** Makes a candidate again, tests it on all samples, and removes the earlier one. */
export async function testOnAll({ id, settings: chosen }: Candidate): Promise<void> {
  const { name = "", available } = samples.value ?? {};
  if (chosen === undefined) return;
  show("smaller");
  if (!(await openSamples([], name, samplesRequest.value?.preprocess, "smaller", available))) return;
  settings.value = chosen;
  await make();
  const replacement = idOf(chosen);
  if (replacement === id || !candidates.value.some((each) => each.id === replacement)) return;
  batch(() => {
    replacedIds.value = [...replacedIds.value, id];
    candidates.value = candidates.value.filter((each) => each.id !== id);
    downloads.value = omit(downloads.value, id);
    layerErrors.value = omit(layerErrors.value, id);
  });
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
      const remaining = candidates.value.filter((each) => each.id !== id);
      candidates.value = [...remaining, candidate];
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

/** Times a candidate again, for example because the machine was too busy. */
export const measureSpeed = ({ id, name, file }: Candidate): Promise<boolean> =>
  runJob(name, "compare", async (options) => {
    const timing = await backendOf().call("time", [subject.value, file], options);
    candidates.value = candidates.value.map((each) =>
      each.id === id ? { ...each, timing: timing ?? each.timing } : each,
    );
  });

export const measureOnGpu = ({ id, name, file }: Candidate): Promise<boolean> =>
  runJob(name, "compare", async (options) => {
    const speed = await backendOf().call("timeOnGpu", [subject.value, file], options);
    gpuSpeeds.value = { ...gpuSpeeds.value, [id]: speed };
  });

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

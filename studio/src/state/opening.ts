/** Opens and closes models, samples and stored sessions. */
import { batch } from "@preact/signals";
import { type CallOptions, type ChosenFiles, Failure, type ModelView } from "../backend/backend.ts";
import { integerText } from "../format.ts";
import { goalUnit, usualGoal } from "../settings/goal.ts";
import { initialSettings } from "../settings/presets.ts";
import { choiceOf, fingerprintOf } from "../storage/fingerprint.ts";
import { loadSession, type Session } from "../storage/sessions.ts";
import { backendOf, cancel, runJob, showProblem } from "./jobs.ts";
import {
  besideId,
  candidates,
  chosenFiles,
  claim,
  downloads,
  goalMetric,
  gpuSpeeds,
  layerErrors,
  maxDrop,
  model,
  modelSource,
  openFiles,
  queue,
  replacedIds,
  samples,
  samplesRequest,
  selectedId,
  settings,
  show,
  subject,
  takenId,
  triedData,
  type ViewName,
} from "./signals.ts";
import { downloadRates, measureDownloads, smallestDownload } from "./sizes.ts";

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
    takenId.value = session.takenId;
    replacedIds.value = session.replacedIds ?? [];
    claim.value = undefined;
    queue.value = [];
    downloadRates.value = session.downloadRates;
    const { samplesRequest: request, smallestDownload: bytes } = session;
    smallestDownload.value = request === undefined || bytes === undefined ? undefined : { request, bytes };
    openFiles.value = { model: false, samples: false };
  });
}

export function closeModel(): void {
  cancel();
  batch(() => {
    openFiles.value = { model: false, samples: false };
    samplesRequest.value = undefined;
    model.value = undefined;
    claim.value = undefined;
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
    const isSamePlace = before?.data === data;
    const choice = files.length > 0 ? await choiceOf(files) : isSamePlace ? before.choice : undefined;
    const isSame = isSamePlace && choice === before.choice;
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

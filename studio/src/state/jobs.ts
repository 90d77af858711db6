/** Runs the work that the page waits for, with its progress and its failure. */
import { batch } from "@preact/signals";
import { type Backend, type CallOptions, Failure, type Progress } from "../backend/backend.ts";
import { isServed } from "../backend/kind.ts";
import { type Job, job, problem, queue, type ViewName } from "./signals.ts";

let backend: Backend | undefined;

export const useBackend = (chosen: Backend): void => {
  backend = chosen;
};

export const backendOf = (): Backend => {
  if (backend === undefined) throw new Error("The page has no backend.");
  return backend;
};

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
  const { code, message, hint } =
    error instanceof Failure ? error : new Failure(`internal: ${error}`, "internal", undefined);
  if (code !== "E_STOPPED") problem.value = { place, message, code, hint: pageHint(code, message, hint) };
}

/** Replaces the advice to name files on a command line. */
function pageHint(code: string, message: string, hint: string | undefined): string | undefined {
  if (!isServed && message.endsWith("cannot be reached."))
    return "The server may not allow other pages to read its files (CORS). Download the file, and choose it.";
  return code === "E_NOT_ONNX" && hint?.startsWith("Name the .onnx file") === true
    ? "Choose the .onnx file. Samples are added in the next step."
    : hint;
}

export function cancel(): void {
  if (job.value === undefined) return;
  job.value.controller.abort();
  job.value = { ...job.value, isCanceled: true };
}

/** Runs the work that the page waits for, with its progress and its failure. */
import { batch } from "@preact/signals";
import { type Backend, type CallOptions, Failure, type Progress } from "../backend/backend.ts";
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
  const failure = error instanceof Failure ? error : new Failure(`internal: ${error}`, "internal", undefined);
  if (failure.code !== "E_STOPPED")
    problem.value = { place, message: failure.message, code: failure.code, hint: failure.hint };
}

export function cancel(): void {
  if (job.value === undefined) return;
  job.value.controller.abort();
  job.value = { ...job.value, isCanceled: true };
}

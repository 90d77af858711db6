/** Stores the shown session whenever it changes, and offers the stored ones. */
import { computed, effect, signal } from "@preact/signals";
import { type Example, exampleAt, fetchExample } from "../examples.ts";
import { showProblem } from "../state/jobs.ts";
import { closeModel, openSamples, reopenModel, showSession } from "../state/opening.ts";
import * as state from "../state/signals.ts";
import { downloadRates, smallestBytes } from "../state/sizes.ts";
import { listSessions, loadSession, removeSession, type Session, type SessionRecord, saveSession } from "./sessions.ts";

/** Milliseconds without a change before the session is stored, so that moving a slider writes once. */
const quietTime = 200;

export const storedSessions = signal<readonly SessionRecord[]>([]);
/** Why the last change was not stored. */
export const storageProblem = signal<"full" | "unavailable" | undefined>(undefined);
/** The model that was removed last, for a message. */
export const removedSession = signal<SessionRecord | undefined>(undefined);

const shownSession = computed<Session | undefined>(() => {
  const { model, modelSource, candidates, layerErrors } = state;
  if (modelSource.value === undefined || model.value === undefined || candidates.value.length === 0) return undefined;
  const measured = Object.entries(layerErrors.value).flatMap(([id, errors]) =>
    typeof errors === "string" ? [] : [[id, errors] as const],
  );
  return {
    ...modelSource.value,
    model: model.value,
    samples: state.samples.value,
    samplesRequest: state.samplesRequest.value,
    settings: state.settings.value,
    maxDrop: state.maxDrop.value,
    selectedId: state.selectedId.value,
    takenId: state.takenId.value,
    replacedIds: state.replacedIds.value,
    downloads: state.downloads.value,
    layerErrors: Object.fromEntries(measured),
    downloadRates: downloadRates.value,
    smallestDownload: smallestBytes.value,
    candidates: candidates.value,
  };
});

export function keepSessions(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const session = shownSession.value;
    clearTimeout(timer);
    if (session !== undefined) timer = setTimeout(() => store(session), quietTime);
  });
  refresh();
}

async function store(session: Session): Promise<void> {
  try {
    await saveSession(session);
    storageProblem.value = undefined;
    // The browser then does not remove the files when the disk is nearly full.
    navigator.storage.persist().catch(() => {});
  } catch (error) {
    storageProblem.value =
      error instanceof DOMException && error.name === "QuotaExceededError" ? "full" : "unavailable";
  }
  await refresh();
}

const refresh = async (): Promise<void> => {
  storedSessions.value = await listSessions().catch(() => []);
};

export async function continueSession({ key }: SessionRecord): Promise<void> {
  try {
    if (state.modelSource.value?.key !== key) {
      const session = await loadSession(key);
      // Another tab can have removed it.
      if (session === undefined) return refresh();
      showSession(session);
    }
    state.show("smaller");
    const example = exampleAt(state.modelSource.value?.place ?? "");
    if (example !== undefined && !state.openFiles.value.model) await reopenExample(example);
  } catch (error) {
    showProblem("start", error);
  }
}

/** Opens an example of a stored session again, whose files the user does not have. */
async function reopenExample(example: Example): Promise<void> {
  const { preprocess, samples } = state.samplesRequest.value ?? {};
  const { value: isSampled } = state.samples;
  if (!(await reopenModel(await fetchExample(example), "smaller")) || isSampled === undefined) return;
  await openSamples([], `${example.name}/${example.data}`, preprocess, "smaller", samples);
}

/** Removes a model with all of its candidates. If it is open, it is closed, because its files are read from the storage. */
export async function remove(record: SessionRecord): Promise<void> {
  if (state.modelSource.value?.key === record.key) closeModel();
  try {
    await removeSession(record.key);
    await refresh();
    removedSession.value = record;
  } catch (error) {
    showProblem("start", error);
    await refresh();
  }
  if (storageProblem.value !== undefined && shownSession.value !== undefined) await store(shownSession.value);
}

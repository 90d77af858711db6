/** Models whose candidates are stored on this machine. */
import type { JSX } from "preact";
import { bytesText, countedText, dayText } from "../format.ts";
import { job } from "../state/signals.ts";
import { continueSession, remove, removedSession, storageProblem, storedSessions } from "../storage/keep.ts";
import type { SessionRecord } from "../storage/sessions.ts";
import { Alert } from "./alert.tsx";

export function StoredSessions(): JSX.Element {
  return (
    <>
      {storedSessions.value.length === 0 ? null : (
        <>
          <h2>Continue</h2>
          <ul class="plain">
            {storedSessions.value.map((record) => (
              <StoredSession key={record.key} record={record} />
            ))}
          </ul>
        </>
      )}
      <p role="status">
        {removedSession.value === undefined ? "" : `${nameOf(removedSession.value)} were removed from this machine.`}
      </p>
    </>
  );
}

const nameOf = ({ model, candidates }: SessionRecord): string =>
  `${model.name} and its ${countedText(candidates.length, "candidate")}`;

/** Moves the focus to the view, because the button is removed, too. */
async function removeAndFocus(record: SessionRecord): Promise<void> {
  await remove(record);
  document.querySelector<HTMLElement>("main")?.focus();
}

function StoredSession({ record }: { record: SessionRecord }): JSX.Element {
  const { model, candidates, savedAt } = record;
  const bytes = candidates.reduce((sum, { inspection }) => sum + inspection.bytes, 0);
  const isBusy = job.value !== undefined;
  return (
    <li class="actions">
      <span>
        Continue with <span class="name">{model.name}</span>: {countedText(candidates.length, "candidate")}, from{" "}
        {dayText(savedAt)}
        <small> ({bytesText(bytes)} on this machine)</small>
      </span>
      <button type="button" class="primary" disabled={isBusy} onClick={() => continueSession(record)}>
        Continue
      </button>
      <button type="button" disabled={isBusy} onClick={() => removeAndFocus(record)}>
        Remove
      </button>
    </li>
  );
}

/** Explains that the shown candidates are lost with the tab. */
export function StorageAlert(): JSX.Element | null {
  if (storageProblem.value === undefined) return null;
  return (
    <Alert mood="warn">
      <p>
        <b>
          {storageProblem.value === "full"
            ? "The newest candidates are not stored: the browser’s storage for this page is full."
            : "The newest candidates are not stored: this browser gives the page no storage."}
        </b>
      </p>
      <p>
        They are kept until this tab is closed. Download the ones that you need
        {storageProblem.value === "full" ? (
          <>
            , or <a href="#start">remove stored models</a>
          </>
        ) : null}
        .
      </p>
    </Alert>
  );
}

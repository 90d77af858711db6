import type { JSX } from "preact";
import { durationText } from "../format.ts";
import { cancel, job, type ViewName } from "../state.ts";
import { LossCurve } from "./drawings.tsx";

/** The running work of this view, with a button that cancels it. */
export function ProgressBox({ place }: { place: ViewName }): JSX.Element | null {
  const { value } = job;
  if (value === undefined || value.place !== place) return null;
  const { name, stage, done = 0, total, note, losses, isCanceled } = value;
  const share = total === undefined || total === 0 ? undefined : done / total;
  const elapsed = (performance.now() - value.startedAt) / 1000;
  const elapsedInStage = (performance.now() - (value.stageStartedAt ?? value.startedAt)) / 1000;
  const isKnown = share !== undefined && share > 0.15;
  const remaining = value.expectedSeconds === undefined ? 0 : value.expectedSeconds - elapsed;
  const remainingText =
    remaining > 0
      ? ` · ${durationText(remaining)} left`
      : isKnown
        ? ` · ${durationText((elapsedInStage * (1 - share)) / share)} left in this step`
        : ` · ${durationText(elapsed)} so far`;
  return (
    <div class="runbox">
      <div class="line">
        <b>{name}</b>
        <button type="button" disabled={isCanceled} onClick={cancel}>
          {isCanceled ? "Canceling …" : "Cancel"}
        </button>
      </div>
      <progress value={share} max={1} aria-label={`Progress of ${name}`} />
      <p>
        {stage ?? "start"}
        {share === undefined ? "" : ` · ${Math.round(100 * share)} %`}
        {remainingText}
      </p>
      <LossCurve losses={losses} />
      <p class="note">{note ?? ""}</p>
    </div>
  );
}

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { durationText } from "../format.ts";
import { cancel } from "../state/jobs.ts";
import { job, type ViewName } from "../state/signals.ts";
import { LossCurve } from "./drawings.tsx";

/** The running work of this view, with a button that cancels it. */
export function ProgressBox({ place }: { place: ViewName }): JSX.Element | null {
  const { value } = job;
  const [, draw] = useState(0);
  const isShown = value?.place === place;
  // Some stages report no progress, so the time is drawn each second.
  useEffect(() => {
    const timer = setInterval(() => isShown && draw(performance.now()), 1000);
    return () => clearInterval(timer);
  }, [isShown]);
  if (value === undefined || !isShown) return null;
  const { name, stage, done = 0, total, note, losses, isCanceled, clock, settings, startedAt } = value;
  const share = total === undefined || total === 0 ? undefined : done / total;
  const now = performance.now() / 1000;
  const secondsLeft = clock?.secondsLeft(now);
  const timeText =
    secondsLeft === undefined
      ? `${durationText(now - startedAt / 1000)} so far`
      : secondsLeft < 3
        ? "a few seconds left"
        : `${durationText(secondsLeft)} left${settings?.preset === "search" ? " at most" : ""}`;
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
        {settings?.preset !== "search" && stage === "timing the finalists" ? "measure the speed" : (stage ?? "start")}
        {share === undefined ? "" : ` · ${Math.round(100 * share)} %`}
        {` · ${timeText}`}
      </p>
      <LossCurve losses={losses} />
      <p class="note">{note === undefined || note.includes("`") ? "" : note}</p>
    </div>
  );
}

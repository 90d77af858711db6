/** Parts that reports have too. Their code is loaded when the first one is shown. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useWidth } from "./width.ts";

async function load() {
  const { blameText, drawDisagreements, drawLayerErrors, drawLayerTable, drawSample, drawSizes, drawTraining } =
    await import("../../../src/app/report/index.ts");
  return { drawDisagreements, drawLayerErrors, drawLayerTable, drawSample, drawSizes, drawTraining, blameText };
}

type Report = Awaited<ReturnType<typeof load>>;

const report = signal<Report | undefined>(undefined);

/** Shows a part that is drawn for the width that it has. */
export function Drawing({ draw }: { draw: (report: Report, width: number) => string | undefined }): JSX.Element {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  useEffect(() => {
    if (report.value === undefined)
      load().then((loaded) => {
        report.value = loaded;
      });
  }, []);
  const markup = report.value === undefined ? undefined : draw(report.value, width);
  // Pith escapes all names in it.
  return <div ref={frame} class="drawing" dangerouslySetInnerHTML={{ __html: markup ?? "" }} />;
}

/** Shows a text beside such a part. */
export const DrawingText = ({ text }: { text: (report: Report) => string }): JSX.Element => (
  <>{report.value === undefined ? "" : text(report.value)}</>
);

/** The losses of the running training. */
export function LossCurve({ losses }: { losses: readonly number[] }): JSX.Element | null {
  if (losses.length < 2) return null;
  return <Drawing draw={({ drawTraining }, width) => drawTraining({ first: 0, every: 1, losses }, width)} />;
}

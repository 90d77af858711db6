/** Images and texts that reports have too. Their code is loaded when the first one is shown. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useWidth } from "./width.ts";

type Drawing = Pick<typeof import("pith/compress"), "drawLayers" | "drawSizes" | "drawTraining"> &
  Pick<typeof import("pith/evaluate"), "blameText">;

const drawing = signal<Drawing | undefined>(undefined);

async function load(): Promise<void> {
  const { drawLayers, drawSizes, drawTraining } = await import("pith/compress");
  const { blameText } = await import("pith/evaluate");
  drawing.value = { drawLayers, drawSizes, drawTraining, blameText };
}

/** Shows an image that is drawn for the width that it has. */
export function Image({ draw }: { draw: (drawing: Drawing, width: number) => string | undefined }): JSX.Element {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  useEffect(() => {
    if (drawing.value === undefined) load();
  }, []);
  const image = drawing.value === undefined ? undefined : draw(drawing.value, width);
  // Pith escapes the names in its images.
  return <div ref={frame} class="drawing" dangerouslySetInnerHTML={{ __html: image ?? "" }} />;
}

/** Shows a text beside an image. */
export const DrawingText = ({ text }: { text: (drawing: Drawing) => string }): JSX.Element => (
  <>{drawing.value === undefined ? "" : text(drawing.value)}</>
);

/** The losses of the running training. */
export function LossCurve({ losses }: { losses: readonly number[] }): JSX.Element | null {
  if (losses.length < 2) return null;
  return <Image draw={({ drawTraining }, width) => drawTraining({ first: 0, every: 1, losses }, width)} />;
}

/** Images that reports have too. Their code is loaded when the first one is shown. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useWidth } from "./width.ts";

type Drawing = Pick<typeof import("pith/compress"), "drawSizes" | "drawTraining">;

const drawing = signal<Drawing | undefined>(undefined);

async function load(): Promise<void> {
  const { drawSizes, drawTraining } = await import("pith/compress");
  drawing.value = { drawSizes, drawTraining };
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

/** The losses of the running training. */
export function LossCurve({ losses }: { losses: readonly number[] }): JSX.Element | null {
  if (losses.length < 2) return null;
  return <Image draw={({ drawTraining }, width) => drawTraining({ first: 0, every: 1, losses }, width)} />;
}

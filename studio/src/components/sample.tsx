/** A sample: as the user gave it, and as the network receives it. */

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { SampleView } from "../../../src/app/report/index.ts";
import type { Pixels } from "../backend/backend.ts";
import { percentText } from "../format.ts";
import { samples } from "../state/signals.ts";
import { Drawing } from "./drawings.tsx";

export const Sample = ({ view }: { view: SampleView | undefined }): JSX.Element =>
  view === undefined ? <span /> : <Drawing draw={({ drawSample }) => drawSample(view)} />;

/** The input of the network, drawn as an image. */
export function NetworkInput({ pixels }: { pixels: Pixels }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height, data } = pixels;
  useEffect(() => {
    canvas.current?.getContext("2d")?.putImageData(new ImageData(data, width, height), 0, 0);
  }, [data, width, height]);
  return <canvas ref={canvas} width={width} height={height} role="img" aria-label="input of the network" />;
}

export const className = (index: number | undefined): string =>
  index === undefined ? "" : (samples.value?.classes?.[index] ?? `class ${index}`);

/** The classes with the highest scores, with bars. */
export function Probabilities({
  top,
  label,
}: {
  top: readonly { index: number; share: number }[];
  label: number | undefined;
}): JSX.Element {
  return (
    <ol class="probs">
      {top.map(({ index, share }, rank) => (
        <li key={index} class={rank > 0 ? undefined : label === undefined || label === index ? "top1" : "top1 wrong"}>
          <span>{className(index)}</span>
          <span class="share">
            <i style={{ width: `${100 * share}%` }} />
          </span>
          <span>{percentText(share)}</span>
        </li>
      ))}
    </ol>
  );
}

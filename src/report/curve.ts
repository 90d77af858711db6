/** The course of a training: loss by epoch, and the figures on the samples kept apart. */
import { html, type Markup } from "./markup.ts";
import { linear, ticks } from "./scale.ts";

export interface TrainedEpoch {
  readonly epoch: number;
  readonly loss: number;
  /** Figures of evaluations in this epoch, in order, and after how many steps: the first may be from before there was one. */
  readonly evaluations?: readonly { readonly step: number; readonly figure: number }[];
}

const size = { width: 360, height: 120 };
const margin = { top: 14, right: 46, bottom: 22, left: 46 };

/** An SVG of two lines, each with an axis of its own; undefined for fewer than two epochs. */
export function trainingCurve(history: readonly TrainedEpoch[]): Markup | undefined {
  if (history.length < 2) return undefined;
  const right = size.width - margin.right;
  const bottom = size.height - margin.bottom;
  const losses = history.map(({ epoch, loss }) => ({ epoch, value: loss }));
  const judged = history.flatMap(({ epoch, evaluations = [] }) => {
    const before = evaluations.filter(({ step }) => step === 0).length;
    const among = Math.max(1, evaluations.length - before);
    return evaluations.map(({ figure }, at) => ({ epoch: epoch - 1 + (at + 1 - before) / among, value: figure }));
  });
  const [first, last] = [Math.min(...[...losses, ...judged].map(({ epoch }) => epoch)), history.at(-1)];
  const x = linear(first, last?.epoch ?? 1, margin.left, right);
  const line = (points: readonly { epoch: number; value: number }[], kind: string, side: number, anchor: string) => {
    const values = points.map(({ value }) => value);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const y = linear(low, high, bottom, margin.top);
    const path = points.map(({ epoch, value }) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const labels = [low, high].map(
      (value) =>
        html`<text x="${side}" y="${(y(value) + 4).toFixed(1)}" text-anchor="${anchor}">${value.toPrecision(3)}</text>`,
    );
    return html`<polyline class="${kind}" points="${path}"/><g class="tick">${labels}</g>`;
  };
  const epochs = ticks(first, last?.epoch ?? 1, 5).filter(Number.isInteger);
  const title = `loss ${history[0]?.loss.toPrecision(3)} to ${last?.loss.toPrecision(3)} in ${history.length} epochs`;
  return html`<svg class="curve" viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${title}">
${line(losses, "loss", margin.left - 6, "end")}
${judged.length > 1 && line(judged, "judged", right + 6, "start")}
<g class="axis"><line x1="${margin.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/></g>
<g class="tick">${epochs.map((epoch) => html`<text x="${x(epoch).toFixed(1)}" y="${bottom + 15}" text-anchor="middle">${epoch}</text>`)}
<text x="${margin.left - 6}" y="10" text-anchor="end">loss</text>${judged.length > 1 && html`<text x="${right + 6}" y="10">judged</text>`}</g>
</svg>`;
}

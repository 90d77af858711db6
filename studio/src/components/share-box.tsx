/** The sentence of a result, to repeat it: as text with a link, and as a picture. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Candidate } from "../backend/backend.ts";
import { bytesText, timesText } from "../format.ts";
import { type ResultNumbers, resultNumbers, resultSentence } from "../measurements.ts";
import { saveFile } from "../products.ts";
import { linkOf } from "../share.ts";
import { model } from "../state/signals.ts";

/** Two bars whose lengths are in proportion to the sizes. */
export const Bars = ({ numbers: { before, after } }: { numbers: ResultNumbers }): JSX.Element => (
  <dl class="bars">
    {(
      [
        ["before", before],
        ["after", after],
      ] as const
    ).map(([title, bytes]) => (
      <div key={title} class={title}>
        <dt>{title}</dt>
        <dd>
          <i style={{ width: `${Math.max(0.5, (100 * bytes) / Math.max(before, after, 1))}%` }} />
          <span>{bytesText(bytes)}</span>
        </dd>
      </div>
    ))}
  </dl>
);

export function ShareBox({ candidate }: { candidate: Candidate }): JSX.Element {
  const [state, setState] = useState("");
  const numbers = resultNumbers(candidate);
  const sentence = resultSentence(numbers);
  const link = linkOf(candidate);
  const copy = (text: string): void => {
    navigator.clipboard.writeText(text).then(
      () => setState("Copied."),
      () => setState(text),
    );
  };
  const save = async (): Promise<void> => {
    const title = `${model.value?.name ?? ""}, ${candidate.name}`;
    saveFile(await drawPicture(sentence, title, numbers), "pith-result.png");
  };
  return (
    <section class="sharebox" aria-label="Share the result">
      <Bars numbers={numbers} />
      <div class="actions">
        {link === undefined ? null : (
          <button type="button" onClick={() => copy(`${sentence} ${link}`)}>
            Copy with a link
          </button>
        )}
        <button type="button" onClick={save}>
          Save as a picture
        </button>
        <small role="status">{state}</small>
      </div>
      {link === undefined ? null : (
        <p class="note">
          The link opens this result again: it has the settings and the numbers. The model never leaves.
        </p>
      )}
    </section>
  );
}

const [width, height, margin] = [1200, 630, 70];

/** Draws the sentence and two bars, in the size of link previews. */
async function drawPicture(sentence: string, title: string, { before, after }: ResultNumbers): Promise<Blob> {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("internal: the browser draws no pictures");
  context.fillStyle = "#fdfcfa";
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#1d5d86";
  const text = (content: string, size: number, y: number, color: string): void => {
    context.fillStyle = color;
    context.font = `${size}px Georgia, serif`;
    context.fillText(content, margin, y, width - 2 * margin);
  };
  const [first = "", ...rest] = sentence.split(/(?<=\.) (?=\d|N)/);
  text(first, 52, 140, "#1d1b17");
  text(rest.join(" "), 40, 205, "#1d1b17");
  const largest = Math.max(before, after, 1);
  for (const [index, bytes] of [before, after].entries()) {
    const y = 270 + 100 * index;
    context.fillStyle = index === 0 ? "#a5c3d7" : "#1d5d86";
    context.fillRect(margin, y, Math.max(4, ((width - 2 * margin - 190) * bytes) / largest), 64);
    context.fillStyle = "#1d1b17";
    context.font = "32px Georgia, serif";
    context.fillText(bytesText(bytes), margin + 20 + ((width - 2 * margin - 190) * bytes) / largest, y + 43);
  }
  text(`${timesText(before / (after || 1))} smaller: ${title}`, 28, 520, "#5d574c");
  text("Pith: smaller ONNX models, measured", 28, 565, "#5d574c");
  return canvas.convertToBlob({ type: "image/png" });
}

/** The graph as `pith plot` lays it out. Only the visible part is in the document, so that graphs of thousands of nodes scroll. */
import { signal } from "@preact/signals";
import type { GraphDrawing } from "pith/compress";
import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { backendOf, missingFiles, modelSource, subject } from "../state.ts";

/** The drawing of the open model, or why there is none. */
const drawing = signal<{ readonly key: string; readonly result: GraphDrawing | string } | undefined>(undefined);

async function load(key: string): Promise<void> {
  const result = await backendOf()
    .call("graph", [subject.value])
    .catch((error: Error) => error.message);
  if (modelSource.value?.key === key) drawing.value = { key, result };
}

/** Loads the graph when it is opened for the first time. */
export function GraphDetails(): JSX.Element | null {
  const key = modelSource.value?.key;
  if (key === undefined || missingFiles.value === "model") return null;
  const shown = drawing.value?.key === key ? drawing.value.result : undefined;
  return (
    <details
      key={key}
      onToggle={(event) => {
        if (event.currentTarget.open && shown === undefined) void load(key);
      }}
    >
      <summary>Graph</summary>
      {shown === undefined ? (
        <p class="note">The graph is being drawn …</p>
      ) : typeof shown === "string" ? (
        <p>Not drawn: {shown}</p>
      ) : (
        <Graph drawing={shown} />
      )}
    </details>
  );
}

/** Pixels around the visible part that are drawn, too. */
const drawnAround = 600;

function Graph({ drawing: { boxes, lines, frames, width, height } }: { drawing: GraphDrawing }): JSX.Element {
  const frame = useRef<HTMLElement>(null);
  const [[top, bottom], setVisible] = useState<readonly [number, number]>([0, 2 * drawnAround]);
  const update = (): void => {
    const { scrollTop = 0, clientHeight = 0 } = frame.current ?? {};
    setVisible([scrollTop - drawnAround, scrollTop + clientHeight + drawnAround]);
  };
  useLayoutEffect(() => {
    update();
    const { current } = frame;
    // The middle of a wide graph shows its main path.
    if (current !== null) current.scrollLeft = (width - current.clientWidth) / 2;
  }, [width]);
  const isVisible = (start: number, end: number): boolean => end > top && start < bottom;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a part that scrolls must be reachable by keyboard.
    <section ref={frame} class="graph" onScroll={update} tabIndex={0} aria-label="Graph">
      <svg width={width} height={height} role="img" aria-label={`Graph of ${boxes.length} boxes`}>
        {frames
          .filter(({ y, height: size }) => isVisible(y, y + size))
          .map(({ x, y, width: frameWidth, height: size, label }) => (
            <g key={`${label} ${y}`} class="frame">
              <rect x={x} y={y} width={frameWidth} height={size} rx={8} />
              <text x={x + 8} y={y + 14} text-anchor="start">
                {label}
              </text>
            </g>
          ))}
        <path
          class="edge"
          d={lines
            .filter((line) => isVisible(line.top, line.bottom))
            .map(({ d }) => d)
            .join("")}
        />
        {boxes.map((box, index) => {
          const { x, y, family, label, name, note, inputs, outputs } = box;
          if (!isVisible(y - box.height, y + box.height)) return null;
          const hasName = family === "layer" && name !== label;
          return (
            <g key={index} class={`box ${family}`}>
              <title>
                {[name, ...inputs.map((text) => `in ${text}`), ...outputs.map((text) => `out ${text}`)].join("\n")}
              </title>
              <rect x={x - box.width / 2} y={y - box.height / 2} width={box.width} height={box.height} rx={3} />
              <text x={x} y={y + (hasName ? -6 : 4)}>
                {label}
              </text>
              {hasName ? (
                <text class="name" x={x} y={y + 14}>
                  {name.length > 32 ? `…${name.slice(-31)}` : name}
                </text>
              ) : null}
              {note === undefined ? null : (
                <text class="tick" x={x + 6} y={y + box.height / 2 + 12} text-anchor="start">
                  {note}
                </text>
              )}
            </g>
          );
        })}
      </svg>
    </section>
  );
}

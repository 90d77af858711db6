/** Picture of a model: one cell per layer, whose area is in proportion to its bytes. */
import { hierarchy, treemap, treemapSquarify } from "d3-hierarchy";
import type { JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { bytesText } from "../format.ts";
import type { SizedLayer, Sizes } from "../settings/estimate.ts";
import { useSize } from "./width.ts";

/** Smaller layers share one cell. */
const maxCells = 300;
/** Square pixels of a cell on average: smaller ones cannot be pointed at, and each costs time in every frame of a slider. */
const cellArea = 28 ** 2;
/** Units of the layout. The picture is stretched to its frame. */
const [width, height] = [1000, 420];
/** Pixels of the smallest cell with a label. Container queries would decide the same, but take most of a frame while a slider moves. */
const [labelWidth, labelHeight] = [53, 28];

interface Cell extends SizedLayer {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

interface Tree {
  readonly layer?: SizedLayer;
  readonly children?: readonly Tree[];
}

/** Returns up to `count` cells, in the order of the layers. */
function cellsOf({ layers }: Sizes, count: number): readonly Cell[] {
  const shown = layers.filter(({ bytes }) => bytes > 0);
  const ranked = shown.toSorted((a, b) => b.bytes - a.bytes);
  const small = new Set(ranked.slice(count - 1));
  const rest: SizedLayer = {
    name: `${small.size} more layers`,
    weight: "",
    bytes: [...small].reduce((sum, { bytes }) => sum + bytes, 0),
    format: "other",
  };
  const cells = small.size > 1 ? [...shown.filter((layer) => !small.has(layer)), rest] : shown;
  const root = hierarchy<Tree>({ children: cells.map((layer) => ({ layer })) })
    .sum(({ layer }) => layer?.bytes ?? 0)
    .sort((a, b) => (b.value ?? 0) - (a.value ?? 0));
  const placed = treemap<Tree>().size([width, height]).tile(treemapSquarify)(root).leaves();
  const places = new Map(placed.map((leaf) => [leaf.data.layer, leaf]));
  return cells.flatMap((layer) => {
    const leaf = places.get(layer);
    if (leaf === undefined) return [];
    const { x0, x1, y0, y1 } = leaf;
    return [{ ...layer, left: x0 / width, top: y0 / height, width: (x1 - x0) / width, height: (y1 - y0) / height }];
  });
}

const percent = (share: number): string => `${(100 * share).toFixed(3)}%`;

/** Formats and their names in the legend. */
const formatNames = {
  float32: "float32",
  float16: "float16",
  int8: "8 bits",
  "low-bit": "6 bits or fewer",
  other: "not a layer",
};

export interface TreemapProps {
  readonly sizes: Sizes;
  /** Bytes that fill the frame: those of the original. */
  readonly full: number;
  readonly isEstimate?: boolean;
  readonly label: string;
}

export function Treemap({ sizes, full, isEstimate, label }: TreemapProps): JSX.Element {
  const frame = useRef<HTMLDivElement>(null);
  const size = useSize(frame);
  const count = Math.max(20, Math.min(maxCells, Math.round((size.width * size.height) / cellArea)));
  const cells = useMemo(() => cellsOf(sizes, count), [sizes, count]);
  const [pointed, setPointed] = useState<number | undefined>(undefined);
  const scale = Math.sqrt(Math.min(1, sizes.total / (full || 1)));
  const move = (event: KeyboardEvent): void => {
    const last = cells.length - 1;
    const at = pointed ?? 0;
    const next = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: last }[
      event.key
    ];
    if (next === undefined) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(last, next));
    setPointed(index);
    frame.current?.querySelectorAll<HTMLElement>(".cell")[index]?.focus();
  };
  const layer = pointed === undefined ? undefined : cells[pointed];
  // Cells that stay the same are not compared again in each frame of a slider.
  const buttons = useMemo(
    () =>
      cells.map((cell, index) => (
        <button
          type="button"
          key={cell.name}
          class={`cell ${cell.format}${index === pointed ? " on" : ""}`}
          tabIndex={index === (pointed ?? 0) ? 0 : -1}
          style={{
            left: percent(cell.left),
            top: percent(cell.top),
            width: percent(cell.width),
            height: percent(cell.height),
          }}
          aria-label={`${cell.name} ${bytesText(cell.bytes)}`}
          onMouseEnter={() => setPointed(index)}
          onFocus={() => setPointed(index)}
        >
          {cell.width * scale * size.width < labelWidth || cell.height * scale * size.height < labelHeight ? null : (
            <>
              <span>{cell.name}</span> <span>{bytesText(cell.bytes)}</span>
            </>
          )}
        </button>
      )),
    [cells, pointed, scale, size],
  );
  return (
    <figure class="treemap">
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the cells in it are the controls. */}
      <div class="tree" ref={frame} onKeyDown={move} onMouseLeave={() => setPointed(undefined)}>
        <fieldset class="area" style={{ width: percent(scale), height: percent(scale) }} aria-label={label}>
          {buttons}
        </fieldset>
        {scale < 0.95 ? (
          <span class="saved">{`${isEstimate === true ? "≈ " : ""}${bytesText(full - sizes.total)} saved on disk`}</span>
        ) : null}
      </div>
      <figcaption class="readout">
        {layer === undefined ? (
          "Point at a layer, tap it, or use the arrow keys: name, shape and size appear here."
        ) : (
          <>
            <span class="name">{layer.name}</span>
            {layer.weight === "" ? "" : `, ${layer.weight}`}, {isEstimate === true ? "≈ " : ""}
            {bytesText(layer.bytes)}
          </>
        )}
      </figcaption>
    </figure>
  );
}

export function Legend({ sizes }: { sizes: readonly Sizes[] }): JSX.Element {
  const present = new Set(sizes.flatMap(({ layers }) => layers.map(({ format }) => format)));
  return (
    <p class="legend">
      {Object.entries(formatNames)
        .filter(([format]) => present.has(format as keyof typeof formatNames))
        .map(([format, name]) => (
          <span key={format}>
            <i class={format} />
            {name}
          </span>
        ))}
    </p>
  );
}

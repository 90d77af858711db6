import type { JSX } from "preact";
import { Alert, ProblemAlert } from "../components/alert.tsx";
import { Figures } from "../components/figures.tsx";
import { GraphDetails } from "../components/graph.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { Table } from "../components/table.tsx";
import { Legend, Treemap } from "../components/treemap.tsx";
import { bytesText, countText, integerText, percentText, unbroken } from "../format.ts";
import { downloadFigure } from "../measurements.ts";
import { openOther } from "../state/opening.ts";
import { downloads, model, modelSource, samples } from "../state/signals.ts";
import { originalSizes } from "../state/sizes.ts";
import { folder } from "../transformers-folder.ts";

/** Returns how many of the largest layers hold most of the bytes. */
function concentration(bytes: readonly number[], total: number): { readonly count: number; readonly share: number } {
  const sorted = bytes.toSorted((a, b) => b - a);
  let sum = 0;
  for (const [index, each] of sorted.entries()) {
    sum += each;
    if (sum >= 0.7 * total) return { count: index + 1, share: sum / total };
  }
  return { count: sorted.length, share: sum / (total || 1) };
}

/** The other models of a folder of transformers.js, such as an encoder beside its decoder. */
function OtherModels(): JSX.Element | null {
  const otherPaths = folder.value?.models.filter((path) => path !== modelSource.value?.place) ?? [];
  if (otherPaths.length === 0) return null;
  return (
    <>
      <ProblemAlert place="model" />
      <ProgressBox place="model" />
      <p>
        Other models of the folder:{" "}
        {otherPaths.map((path) => (
          <button key={path} type="button" onClick={() => openOther(path)}>
            {path.split("/").at(-1)}
          </button>
        ))}
      </p>
    </>
  );
}

/** Number of layers of each reason that are listed. */
const maxShown = 6;

export function ModelPage(): JSX.Element {
  if (model.value === undefined || originalSizes.value === undefined) return <p>No model is open.</p>;
  const { name, inspection, warnings } = model.value;
  const { layers, opsets, operators, inputs, outputs, notUnderstood, macs, parameters, bytes } = inspection;
  const sizes = originalSizes.value;
  const download = downloads.value[""]?.brotli;
  const { count, share } = concentration(
    layers.map((layer) => layer.bytes),
    bytes,
  );
  const kinds = Object.keys(operators).length;
  const kept = layers.filter(({ kept: reason, cuttable }) => reason !== undefined && cuttable === 0);
  const moreCount = [notUnderstood, kept].reduce((sum, { length }) => sum + Math.max(0, length - maxShown), 0);
  return (
    <section>
      <p class="eyebrow">
        <span class="name">{name}</span>
      </p>
      <h1>
        {download === undefined ? bytesText(bytes) : `Your visitors download ${bytesText(download)}`}.{" "}
        {unbroken(`${integerText(count)} of ${integerText(layers.length)} layers`)} {count === 1 ? "holds" : "hold"}{" "}
        {percentText(share)} of {download === undefined ? "it" : "the file"}.
      </h1>
      <Figures
        figures={[
          { ...downloadFigure("", bytes), term: "download (brotli)" },
          downloadFigure("", bytes, "gzip"),
          { term: "on disk", value: bytesText(bytes), detail: `${integerText(bytes)} bytes` },
          { term: "parameters", value: countText(parameters), detail: integerText(parameters) },
          {
            term: "multiply-accumulates",
            value: macs?.count === undefined ? undefined : countText(macs.count),
            detail: macs === undefined ? "they depend on the input" : "for each sample",
          },
          {
            term: "operator set",
            value: String(opsets["ai.onnx"] ?? "–"),
            detail: `${kinds} operators${notUnderstood.length === 0 ? ", all supported" : ""}`,
          },
        ]}
      />
      {warnings.map((text) => (
        <Alert key={text} mood="warn">
          <p>{text}</p>
        </Alert>
      ))}
      <OtherModels />
      <h2>Bytes by layer</h2>
      <Treemap sizes={sizes} full={sizes.total} label={`Bytes by layer of ${name}`} />
      <Legend sizes={[sizes]} />
      <details>
        <summary>All layers as a table</summary>
        <Table
          label="All layers"
          columns={[
            { title: "layer", kind: "name" },
            { title: "weight" },
            { title: "bytes", kind: "n" },
            { title: "channels that can be pruned", kind: "n" },
          ]}
          rows={layers.map((layer) => ({
            key: layer.name,
            cells: [layer.name, layer.weight, bytesText(layer.bytes), `${layer.cuttable} of ${layer.outputs}`],
          }))}
        />
      </details>
      <GraphDetails />
      <div class="split">
        <div>
          <h2>Inputs and outputs</h2>
          <Table
            label="Inputs and outputs"
            columns={[
              { title: "name", kind: "name" },
              { title: "type and shape", kind: "name" },
            ]}
            rows={[...inputs, ...outputs].map(({ name: port, type, dims }) => ({
              key: port,
              cells: [port, `${type} ${dims}`],
            }))}
          />
          <h3>Operators</h3>
          <p class="note">
            {Object.entries(operators)
              .map(([operator, nodes]) => `${integerText(nodes)} ${operator}`)
              .join(", ")}
          </p>
        </div>
        <div>
          <h2>What cannot be changed</h2>
          <ul class="plain">
            {notUnderstood.slice(0, maxShown).map(({ at, reason }) => (
              <li key={`${at} ${reason}`}>
                {at === undefined ? "" : <span class="name">{at}: </span>}
                {reason}
              </li>
            ))}
            {kept.slice(0, maxShown).map(({ name: layer, kept: why }) => (
              <li key={layer}>
                <span class="name">{layer}</span>: its channels cannot be pruned: {why?.reason}.
              </li>
            ))}
            {moreCount > 0 ? <li>… and {integerText(moreCount)} more</li> : null}
            {notUnderstood.length + kept.length === 0 ? <li>Nothing: every layer can be pruned.</li> : null}
          </ul>
        </div>
      </div>
      <div class="actions">
        <a class="button primary" href="#samples">
          {samples.value === undefined ? "Add samples" : "Check the samples"}
        </a>
        <a href="#smaller">Make it smaller</a>
      </div>
    </section>
  );
}

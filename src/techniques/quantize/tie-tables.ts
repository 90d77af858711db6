/** Stores a table and its copy in a product once. Some exporters fold the Transpose of a tied last layer into a copy of the table. */
import { allLayers, infer, isInside } from "#analysis";
import { emitInto, type Model, replaceUses, sameDims, type Value } from "#ir";

export async function tieTables(model: Model): Promise<void> {
  const layers = allLayers(model, infer(model)).filter((layer) => !isInside(layer));
  const isTable = ({ role }: (typeof layers)[number]): boolean => role.kind === "lookup";
  const tables = new Set(layers.filter(isTable).map(({ weight }) => weight));
  const copies = new Set(
    layers.filter((layer) => !isTable(layer) && !tables.has(layer.weight)).map((layer) => layer.weight),
  );
  for (const table of tables)
    for (const copy of copies) {
      if (table.role !== copy.role || !(await isTransposed(table, copy))) continue;
      const [first] = model.graph.nodes();
      replaceUses(copy, emitInto(model, { before: first, by: "quantize" }).Transpose([table], { perm: [1, 0] }));
      model.graph.removeValue(copy);
      copies.delete(copy);
    }
}

async function isTransposed({ tensor: table }: Value, { tensor: copy }: Value): Promise<boolean> {
  const [rows = 0, columns = 0] = table?.dims ?? [];
  if (table?.dims.length !== 2 || copy?.type !== table.type || !sameDims(copy.dims, [columns, rows])) return false;
  const [{ data: numbers }, { data: others }] = [await table.read(), await copy.read()];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      if (numbers[row * columns + column] !== others[column * rows + row]) return false;
  return true;
}

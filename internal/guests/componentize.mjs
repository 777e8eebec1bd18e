// Makes a component of a JavaScript plugin: node componentize.mjs plugin.js WIT-folder out.wasm [world]
// Run from a copy beside node_modules, where node looks for the package.

import { readFile, writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [source, witPath, out, worldName = "plugin"] = process.argv.slice(2);
const { component } = await componentize(await readFile(source, "utf8"), {
  witPath,
  worldName,
  sourceName: "plugin.js",
  // The plugin handles requests by the interface itself, not by fetch and its events, which know neither duplicate headers nor trailers.
  disableFeatures: ["fetch-event", "http"],
});
await writeFile(out, component);

/// Compiles the protocol files below `root/proto` and writes the message types and their JSON view to `out`.
fn generate(root: &Path, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    use prost::Message as _;
    let files = protox::compile(["jetmill/v1/events.proto"], [root.join("proto")])?;
    std::fs::create_dir_all(out)?;
    prost_build::Config::new().out_dir(out).btree_map(["."]).enable_type_names().compile_fds(files.clone())?;
    pbjson_build::Builder::new()
        .register_descriptors(&files.encode_to_vec())?
        .out_dir(out)
        .preserve_proto_field_names()
        .btree_map(["."])
        .build(&[".jetmill"])?;
    Ok(())
}

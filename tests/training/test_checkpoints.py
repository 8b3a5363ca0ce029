from graft.training.checkpoints import is_whole, remove_incomplete, rotate, seal, whole_checkpoints


def checkpoint(folder, step, sealed=True):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    (path / "weights").write_bytes(b"x" * 100)
    if sealed:
        seal(path)
    return path


def test_only_sealed_and_unchanged_checkpoints_are_whole(tmp_path):
    whole = checkpoint(tmp_path, 2)
    cut = checkpoint(tmp_path, 10)
    (cut / "weights").write_bytes(b"x")
    open_ = checkpoint(tmp_path, 3, sealed=False)
    assert is_whole(whole) and not is_whole(cut) and not is_whole(open_)
    assert sorted(remove_incomplete(tmp_path)) == ["checkpoint-10", "checkpoint-3"]
    assert whole_checkpoints(tmp_path) == [whole]


def test_rotation_keeps_the_newest_and_the_best(tmp_path):
    for step in (5, 10, 15, 20):
        checkpoint(tmp_path, step)
    rotate(tmp_path, 2, best_step=5)
    assert [path.name for path in whole_checkpoints(tmp_path)] == ["checkpoint-5", "checkpoint-15", "checkpoint-20"]

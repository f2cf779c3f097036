import torch

from vendor.trellis2.row_blocks import FEWEST_ROWS, in_row_blocks, rewrite_row_blocks, rows_a_block


def test_blocks_give_what_the_whole_gives():
    features = torch.randn(5 * FEWEST_ROWS + 3, 4)
    lengths = []

    def work(rows):
        lengths.append(len(rows))
        return rows.square()

    assert torch.equal(in_row_blocks(work, features, row_bytes=1 << 40), features.square())
    assert lengths == [FEWEST_ROWS] * 5 + [3]


def test_rewriting_changes_the_table_itself():
    features = torch.randn(2 * FEWEST_ROWS + 3, 4)
    wanted = features.square()
    assert rewrite_row_blocks(torch.square, features, row_bytes=1 << 40) is features
    assert torch.equal(features, wanted)


def test_no_rows_are_no_trouble():
    assert in_row_blocks(torch.square, torch.zeros(0, 4), row_bytes=16).shape == (0, 4)


def test_a_processor_takes_what_its_cache_holds_and_a_card_what_it_is_allowed():
    assert rows_a_block(torch.device("cpu"), 1024, 1 << 30) == 8 * 1024
    assert rows_a_block(torch.device("cpu"), 1024, 1 << 20) == 1024
    assert rows_a_block(torch.device("cuda"), 1024, 1 << 30) == 1 << 20

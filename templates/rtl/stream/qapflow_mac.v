`timescale 1ns / 1ps
// Dense layer, time-multiplexed: BEATS beats of N values each times weights from a ROM.
// Each beat takes PARTS * TURNS clocks: its values in PARTS equal parts, for each part the M sums
// in TURNS groups, so ceil(N / PARTS) * ceil(M / TURNS) multipliers. Sums are taken modulo
// 2**WIDTH_OUT, in which the result fits. The ROM is read through weight_*: the word comes one
// enabled clock after its address.
module qapflow_mac #(
    parameter N = 4,
    parameter WIDTH = 8,
    parameter SIGNED = 1,
    parameter M = 4,
    parameter WIDTH_OUT = 20,
    parameter WEIGHT = 6,
    parameter BEATS = 1,
    parameter PARTS = 2,
    parameter TURNS = 1,
    parameter ADDRESS = 4,
    parameter NP = (N + PARTS - 1) / PARTS,  // values a clock
    parameter MT = (M + TURNS - 1) / TURNS,  // sums a clock
    parameter [MT*TURNS*WIDTH_OUT-1:0] BIAS = 0
) (
    input wire clk,
    input wire rst,
    input wire [N*WIDTH-1:0] in_data,
    input wire in_valid,
    output wire in_ready,
    output wire [M*WIDTH_OUT-1:0] out_data,
    output reg out_valid,
    input wire out_ready,
    output wire weight_enable,
    output wire [ADDRESS-1:0] weight_address,
    input wire [NP*MT*WEIGHT-1:0] weight_word  // sum m, value n: place m * NP + n
);
    localparam LEVELS = $clog2(NP);
    localparam GROUP = MT * WIDTH_OUT;
    localparam BB = $clog2(BEATS + 1);
    localparam PB = $clog2(PARTS + 1);
    localparam TB = $clog2(TURNS + 1);
    localparam [31:0] LAST_BEAT = BEATS - 1;
    localparam [31:0] LAST_PART = PARTS - 1;
    localparam [31:0] LAST_TURN = TURNS - 1;
    localparam DELAY = LEVELS + 2;

    reg [PARTS*NP*WIDTH-1:0] held;
    reg busy;
    reg [BB-1:0] beat;
    reg [PB-1:0] part;
    reg [TB-1:0] turn;
    reg [ADDRESS-1:0] address;
    wire en = ~out_valid | out_ready;
    wire end_turn = turn == LAST_TURN[TB-1:0];
    wire end_beat = end_turn & (part == LAST_PART[PB-1:0]);
    wire end_sample = end_beat & (beat == LAST_BEAT[BB-1:0]);
    wire take = in_valid & in_ready;

    assign in_ready = en & (~busy | end_beat);
    assign weight_enable = en;
    assign weight_address = address;

    wire [PARTS*NP*WIDTH-1:0] fresh;
    generate
        if (PARTS * NP > N) begin : filled
            assign fresh = {{((PARTS*NP-N)*WIDTH){1'b0}}, in_data};
        end else begin : full
            assign fresh = in_data;
        end
    endgenerate

    wire [PARTS*NP*WIDTH-1:0] shifted;
    generate
        if (PARTS == 1) begin : whole
            assign shifted = held;
        end else begin : next_part
            assign shifted = {{(NP*WIDTH){1'b0}}, held[PARTS*NP*WIDTH-1:NP*WIDTH]};
        end
    endgenerate

    reg [NP*WIDTH-1:0] x;
    always @(posedge clk) if (en) begin
        x <= held[NP*WIDTH-1:0];
        if (take) held <= fresh;
        else if (end_turn) held <= shifted;
    end

    // Marks travel beside the products and their sums.
    reg [DELAY-1:0] valid, first, last;
    reg [DELAY*TB-1:0] turns;
    always @(posedge clk) if (en) begin
        first <= {first[DELAY-2:0], (beat == 0) & (part == 0)};
        last <= {last[DELAY-2:0], end_sample};
        turns <= {turns[(DELAY-1)*TB-1:0], turn};
    end

    always @(posedge clk) begin
        if (rst) begin
            busy <= 1'b0;
            beat <= 0;
            part <= 0;
            turn <= 0;
            address <= 0;
            valid <= 0;
            out_valid <= 1'b0;
        end else if (en) begin
            if (take) busy <= 1'b1;
            else if (end_beat) busy <= 1'b0;
            if (busy) begin
                address <= end_sample ? 0 : address + 1'b1;
                turn <= end_turn ? 0 : turn + 1'b1;
                if (end_turn) part <= end_beat ? 0 : part + 1'b1;
                if (end_beat) beat <= end_sample ? 0 : beat + 1'b1;
            end
            valid <= {valid[DELAY-2:0], busy};
            out_valid <= valid[DELAY-1] & last[DELAY-1];
        end
    end

    wire [GROUP-1:0] sums;
    genvar m, n, l;
    generate
        for (m = 0; m < MT; m = m + 1) begin : sum
            wire [(NP+1)*WIDTH_OUT-1:0] level [0:LEVELS];  // one more, zero, where the count is odd
            reg [NP*WIDTH_OUT-1:0] products;
            assign level[0] = {{WIDTH_OUT{1'b0}}, products};
            for (n = 0; n < NP; n = n + 1) begin : products_of
                wire [WIDTH-1:0] bits = x[n*WIDTH +: WIDTH];
                wire signed [WIDTH:0] value = {SIGNED != 0 ? bits[WIDTH-1] : 1'b0, bits};
                wire signed [WEIGHT-1:0] weight = weight_word[(m*NP+n)*WEIGHT +: WEIGHT];
                wire signed [WIDTH+WEIGHT:0] exact = value * weight;
                wire [WIDTH_OUT-1:0] fitted;
                always @(posedge clk) if (en) products[n*WIDTH_OUT +: WIDTH_OUT] <= fitted;
                if (WIDTH_OUT > WIDTH + WEIGHT + 1) begin : wider
                    assign fitted = {{(WIDTH_OUT-WIDTH-WEIGHT-1){exact[WIDTH+WEIGHT]}}, exact};
                end else begin : narrower
                    assign fitted = exact[WIDTH_OUT-1:0];
                end
            end
            for (l = 0; l < LEVELS; l = l + 1) begin : tree
                localparam FROM = (NP + (1 << l) - 1) >> l;
                localparam TO = (FROM + 1) / 2;
                reg [TO*WIDTH_OUT-1:0] pairs;
                assign level[l+1] = {{((NP+1-TO)*WIDTH_OUT){1'b0}}, pairs};
                for (n = 0; n < TO; n = n + 1) begin : pair
                    always @(posedge clk) if (en)
                        pairs[n*WIDTH_OUT +: WIDTH_OUT] <=
                            level[l][2*n*WIDTH_OUT +: WIDTH_OUT]
                            + level[l][(2*n+1)*WIDTH_OUT +: WIDTH_OUT];
                end
            end
            assign sums[m*WIDTH_OUT +: WIDTH_OUT] = level[LEVELS][WIDTH_OUT-1:0];
        end
    endgenerate

    // Groups of sums go round; after the last turn the first group lies lowest.
    reg [TURNS*GROUP-1:0] totals;
    wire [TB-1:0] now = turns[(DELAY-1)*TB +: TB];
    wire [GROUP-1:0] base = first[DELAY-1] ? BIAS[now*GROUP +: GROUP] : totals[GROUP-1:0];
    wire [GROUP-1:0] joined;
    generate
        for (m = 0; m < MT; m = m + 1) begin : add
            assign joined[m*WIDTH_OUT +: WIDTH_OUT] =
                base[m*WIDTH_OUT +: WIDTH_OUT] + sums[m*WIDTH_OUT +: WIDTH_OUT];
        end
        if (TURNS == 1) begin : still
            always @(posedge clk) if (en & valid[DELAY-1]) totals <= joined;
        end else begin : round
            always @(posedge clk) if (en & valid[DELAY-1])
                totals <= {joined, totals[TURNS*GROUP-1:GROUP]};
        end
    endgenerate
    assign out_data = totals[M*WIDTH_OUT-1:0];
endmodule

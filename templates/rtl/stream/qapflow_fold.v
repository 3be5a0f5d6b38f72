`timescale 1ns / 1ps
// Sum or maximum over COUNT beats, value by value.
module qapflow_fold #(
    parameter VALUES = 1,
    parameter WIDTH = 8,
    parameter SIGNED = 1,
    parameter WIDTH_OUT = 8,
    parameter COUNT = 2,
    parameter MAXIMUM = 0
) (
    input wire clk,
    input wire rst,
    input wire [VALUES*WIDTH-1:0] in_data,
    input wire in_valid,
    output wire in_ready,
    output wire [VALUES*WIDTH_OUT-1:0] out_data,
    output reg out_valid,
    input wire out_ready
);
    localparam BITS = $clog2(COUNT + 1);
    localparam [31:0] LAST = COUNT - 1;
    localparam WIDE = (WIDTH > WIDTH_OUT ? WIDTH : WIDTH_OUT) + 1;
    reg [BITS-1:0] count;
    wire first = count == 0;
    wire last = count == LAST[BITS-1:0];
    wire take = in_valid & in_ready;

    assign in_ready = ~out_valid | out_ready;

    genvar i;
    generate
        for (i = 0; i < VALUES; i = i + 1) begin : each
            wire [WIDTH-1:0] x = in_data[i*WIDTH +: WIDTH];
            wire signed [WIDE-1:0] wide = {{(WIDE - WIDTH){SIGNED != 0 ? x[WIDTH-1] : 1'b0}}, x};
            reg signed [WIDE-1:0] total;
            wire signed [WIDE-1:0] joined =
                MAXIMUM != 0 ? (wide > total ? wide : total) : total + wide;
            always @(posedge clk) if (take) total <= first ? wide : joined;
            assign out_data[i*WIDTH_OUT +: WIDTH_OUT] = total[WIDTH_OUT-1:0];
        end
    endgenerate

    always @(posedge clk) begin
        if (rst) begin
            count <= 0;
            out_valid <= 1'b0;
        end else begin
            if (take) begin
                count <= last ? 0 : count + 1'b1;
                out_valid <= last;
            end else if (out_ready) out_valid <= 1'b0;
        end
    end
endmodule
